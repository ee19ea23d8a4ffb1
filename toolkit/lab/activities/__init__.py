"""The lab's activities, small entries by theme; to add one, add an entry to the file it belongs to.

Fields in braces are those of ``idskit.lab.activity.values``, and ``{count}``.
"""
