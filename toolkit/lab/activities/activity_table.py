"""All activities of the lab by name."""

from __future__ import annotations

from idskit.lab.activities.appliances import APPLIANCES
from idskit.lab.activities.browsing import BROWSING
from idskit.lab.activities.covert_channels import COVERT_CHANNELS
from idskit.lab.activities.exploits import EXPLOITS
from idskit.lab.activities.floods import FLOODS
from idskit.lab.activities.guessing import GUESSING
from idskit.lab.activities.intrusions import INTRUSIONS
from idskit.lab.activities.office_work import OFFICE_WORK
from idskit.lab.activities.operations import OPERATIONS
from idskit.lab.activities.scans import SCANS

ACTIVITIES = {
    activity.name: activity
    for activity in (
        *(*SCANS, *GUESSING, *FLOODS, *INTRUSIONS, *EXPLOITS, *COVERT_CHANNELS),
        *(*BROWSING, *OFFICE_WORK, *OPERATIONS, *APPLIANCES),
    )
}
