"""Read by pytest before its command line, which is why it is here: tests/lab_plugin.py adds the option --answer."""

pytest_plugins = ["lab_plugin"]
