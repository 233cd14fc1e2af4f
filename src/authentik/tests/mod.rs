//! The client against a server that answers what each test says, and nothing else.
