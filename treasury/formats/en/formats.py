"""To the second, and with the zone: a claim, its deadline and its outcome lie seconds apart."""

DATE_FORMAT = "j M Y"
TIME_FORMAT = "H:i:s e"
DATETIME_FORMAT = "j M Y, H:i:s e"
