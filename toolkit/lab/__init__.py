"""A traffic lab: real programs between network namespaces, captured, with the label of every flow.

activities ──> client ══ link ══ server ──> recorder ──> NAME.pcap + NAME.labels.csv

Nothing that runs here can leave: the namespaces have no route out, and they vanish with the process
that made them.

Its own scripts run as processes of their own inside the namespaces, so this file imports nothing:
they start without the flow engine. ``idskit.lab.run_lab.run_lab`` is the way in.
"""
