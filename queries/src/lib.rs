//! SQL over live and stored rows.
