//! The timely and differential graph from events to explained scores.
