//! Every edge to the outside: venue decoders, the event log, imports.
