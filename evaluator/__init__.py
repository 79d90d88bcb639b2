"""The black box: a vision-language model that answers how accurate a template is. Never imports agent."""
