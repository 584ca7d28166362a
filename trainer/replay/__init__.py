"""Conversations played to the runtime from recordings: logs, two-channel results and figures."""
