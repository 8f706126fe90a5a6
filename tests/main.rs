//! What prism promises, tested from outside: one binary, one file a promise.

mod absence;
mod bad_input;
mod books;
mod cases;
mod commands;
mod corrections;
mod demo;
mod determinism;
mod manners;
mod openapi;
mod oracle;
mod page;
mod readme;
mod recordings;
mod services;
mod signal;
mod sql;
mod statements;
mod support;
mod survive;
mod tidy;
mod venues;
mod w1;
