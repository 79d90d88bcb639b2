"""Pure text: templates, replies, conversations and pools. Imports nothing of the other rooms."""
