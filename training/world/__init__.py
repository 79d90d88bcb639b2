"""The pictures that the bundled CLIPs are trained and tested on: scenes and their pixels."""
