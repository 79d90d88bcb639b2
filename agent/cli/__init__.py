"""The commands, each in a module of its own that is loaded when called."""
