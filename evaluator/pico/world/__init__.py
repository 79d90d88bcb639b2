"""The pictures that the bundled CLIPs are trained and tested on: scenes, their pixels and their captions."""
