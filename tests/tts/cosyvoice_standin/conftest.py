"""The other files of this folder stand in for a checkout's modules: they run in the CosyVoice process alone."""

collect_ignore_glob = ["upstream_*.py"]
