"""Where incidents go: files, sockets, syslog, MQTT, webhooks, metrics; none blocks capture."""
