"""How the bundled CLIPs were made and measured; nothing at run time imports it."""
