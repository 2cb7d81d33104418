"""Subjects to fields of study: the codes of the Chinese national standard (GB/T 13745), as the paper groups
them.

reward_bridge.md 1.2: 48 first-level subjects in STEM, social sciences, humanities and applied sciences;
subjects without a code are `others` (15.8 % of the paper's test).
"""

from __future__ import annotations

STEM, SOCIAL, HUMANITIES, APPLIED, OTHERS = FIELDS = (
    "stem",
    "social_sciences",
    "humanities",
    "applied",
    "others",
)
CODES = {
    STEM: (110, 120, 130, 140, 150, 170, 180, 430, 460, 470, 510, 520, 530, 560, 570, 580, 610, 620, 910),
    SOCIAL: (190, 630, 790, 810, 820, 840, 850, 860, 870, 880, 890),
    HUMANITIES: (710, 720, 730, 740, 750, 760, 770),
    APPLIED: (210, 230, 310, 320, 330, 350, 360, 413, 416, 420, 550),
}
OF_CODE = {code: name for name, codes in CODES.items() for code in codes}
NAMES = {
    110: "mathematics", 120: "information and systems science", 130: "mechanics", 140: "physics",
    150: "chemistry", 160: "astronomy",
    170: "earth science", 180: "biology", 190: "psychology", 210: "agronomy",
    230: "animal husbandry and veterinary science",
    310: "basic medicine", 320: "clinical medicine", 330: "preventive medicine and public health",
    350: "pharmacy", 360: "chinese medicine",
    413: "information and systems engineering", 416: "engineering of natural science",
    420: "surveying and mapping",
    430: "materials science",
    460: "mechanical engineering", 470: "power and electrical engineering",
    510: "electronics and communication", 520: "computer science",
    530: "chemical engineering", 550: "food science", 560: "civil engineering",
    570: "water resources engineering", 580: "transportation",
    610: "environmental science", 620: "safety science", 630: "management", 710: "marxism", 720: "philosophy",
    730: "religious studies",
    740: "linguistics", 750: "literature", 760: "art", 770: "history", 790: "economics",
    810: "political science", 820: "law",
    840: "sociology", 850: "ethnology", 860: "journalism and communication",
    870: "library and information science", 880: "education",
    890: "sports science", 910: "statistics",
}  # fmt: skip
OF_DOMAIN = {  # coarse labels of the exams at hand -> code
    "math": 110, "physics_math": 140, "physics": 140, "chemistry": 150, "biology": 180, "geography": 170,
    "computer_science": 520,
    "engineering": 470, "psychology": 190, "business": 630, "economics": 790, "politics": 810, "law": 820,
    "sociology": 840,
    "philosophy": 720, "history": 770, "chinese_language": 740, "english_language": 740, "medicine": 320,
}  # fmt: skip
OF_SUBJECT = {  # fine labels that their coarse one would put elsewhere
    "astronomy": 160, "electrical_engineering": 470, "anatomy": 310, "medical_genetics": 310, "virology": 310,
    "college_medicine": 310,
    "nutrition": 330, "human_aging": 330, "high_school_statistics": 910, "world_religions": 730,
    "public_relations": 860,
    "professional_accounting": 630, "econometrics": 790, "human_sexuality": 840, "Statistics": 910,
    "stat": 910, "Computer networking": 520,
}  # fmt: skip


def code_of(subject: str, domain: str = "") -> int | None:
    """Returns the code of a fine label, else of a coarse one; None where neither has one. Labels may be codes
    (`520`, `520 computer science`) or names of the standard.
    """
    digits = subject.strip()[:3]
    if digits.isdecimal() and int(digits) in OF_CODE:
        return int(digits)
    folded = subject.strip().casefold().replace("_", " ")
    code_of_name = next((code for code, name in NAMES.items() if name == folded), None)
    return (
        OF_SUBJECT.get(subject)
        or code_of_name
        or OF_DOMAIN.get(domain)
        or OF_DOMAIN.get(subject.strip().casefold().replace(" ", "_"))
    )


def field_of(subject: str, domain: str = "") -> str:
    """Returns one of FIELDS; `others` for a subject without a code in the paper's grouping."""
    code = code_of(subject, domain)
    return OTHERS if code is None else OF_CODE.get(code, OTHERS)
