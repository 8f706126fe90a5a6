//! HTTP, WebSocket and the dashboard page.
