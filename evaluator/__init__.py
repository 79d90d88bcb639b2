"""Score templates with a vision-language model as a black box. Never imports agent."""
