"""Times of day: `3:30 PM`, `15:30`, `7 p.m.`, `noon`, `下午3点半`. A time is not a ratio: 6:15 is not 12:30,
although 6/15 equals 12/30.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TIME = re.compile(
    r"(?:at )?(\d{1,2})(?:\s*[:：]\s*(\d{2})(?:\s*[:：]\s*(\d{2}))?|"
    r"\s*o'? ?clock)?\s*(?:([ap])\.?\s*m\b\.?)?(?: in the (morning|afternoon|evening))?",
    re.I,
)
NAMED_TIMES = {
    "noon": 720,
    "12 noon": 720,
    "midday": 720,
    "12:00 noon": 720,
    "midnight": 0,
    "12 midnight": 0,
    "中午": 720,
    "正午": 720,
    "午夜": 0,
}
CHINESE = re.compile(
    r"(凌晨|早上|上午|中午|下午|傍晚|晚上)?\s*(\d{1,2})\s*[点时]\s*(?:(\d{1,2})\s*分?|(半)|(整))?"
)
LATE = frozenset(("下午", "傍晚", "晚上"))


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """A time of day. `seconds` since midnight, as the hour is written; `half` is "a", "p", or "" where it is
    not given; `ratio`: the text may also mean a ratio (3:45 may, 12:05 may not).
    """

    seconds: int
    half: str = ""
    ratio: bool = False

    @property
    def of_day(self) -> int:
        """Seconds since midnight on a 24-hour clock."""
        twelve = 43_200
        if self.half:
            return self.seconds % twelve + (twelve if self.half == "p" else 0)
        return self.seconds


def parse_time(text: str) -> TimeOfDay | None:
    """Parses normalized `text` as a time of day; None where the whole text is not one."""
    text = text.strip().casefold()
    if text in NAMED_TIMES:
        return TimeOfDay(NAMED_TIMES[text] * 60, "p" if NAMED_TIMES[text] else "a")
    if not text[:1].isdigit() and not text.startswith("at "):
        return _chinese_time(text)
    match = TIME.fullmatch(text)
    if match is None:
        return _chinese_time(text)
    hour, minute, second, half, part = match.groups()
    day_half = half or {"morning": "a", "afternoon": "p", "evening": "p"}.get(part or "", "")
    if minute is None and not day_half and "clock" not in text:
        return None
    if (
        int(minute or 0) > 59
        or int(second or 0) > 59
        or int(hour) > (12 if day_half else 24)
        or (day_half and int(hour) == 0)
    ):
        return None
    ratio = not day_half and "clock" not in text and second is None and not str(minute).startswith("0")
    return TimeOfDay(3600 * int(hour) + 60 * int(minute or 0) + int(second or 0), day_half, ratio)


def same_time(answer: TimeOfDay, reference: TimeOfDay) -> bool:
    """Returns whether two times are equal. Like a unit, a half of the day that only one side gives may be
    missing where the hours are written alike.
    """
    if answer.half and reference.half:
        return answer.of_day == reference.of_day
    return answer.seconds == reference.seconds or (
        bool(answer.half or reference.half) and answer.of_day == reference.of_day
    )


def _chinese_time(text: str) -> TimeOfDay | None:
    match = CHINESE.fullmatch(text) if "点" in text or "时" in text else None
    if match is None or int(match[2]) > 24 or int(match[3] or 0) > 59:
        return None
    if not match[1] and not match[3] and not match[4] and not match[5]:
        return None  # 3点 may be three points, 3时 three hours
    half = (
        ("p" if match[1] in LATE or (match[1] == "中午" and int(match[2]) in (12, 1)) else "a")
        if match[1] and int(match[2]) <= 12
        else ""
    )
    return TimeOfDay(3600 * int(match[2]) + 60 * (30 if match[4] else int(match[3] or 0)), half)
