"""Where incidents go: files, sockets, syslog, MQTT, webhooks, metrics; none of them blocks capture."""
