"""The units of answers: factors to SI base units, dimensions, and spellings."""

from __future__ import annotations

from fractions import Fraction

# powers of metre, kilogram, second, ampere, kelvin, mole, radian, US dollar, unit of a drawing, yuan
Dimension = tuple[int, ...]
BASE = ("m", "kg", "s", "A", "K", "mol", "rad", "usd", "unit", "cny")
NONE: Dimension = (0,) * len(BASE)
ANGLE: Dimension = (0, 0, 0, 0, 0, 0, 1, 0, 0, 0)
PI = Fraction(314159265358979323846264338327950288, 10**35)
FACTORS = {"pi/180": PI / 180, "2pi": 2 * PI}
PREFIXES = {
    "T": 12,
    "G": 9,
    "M": 6,
    "k": 3,
    "h": 2,
    "d": -1,
    "c": -2,
    "m": -3,
    "\\mu": -6,
    "u": -6,
    "n": -9,
    "p": -12,
    "f": -15,
}
LONG_PREFIXES = {
    "kilo": 3,
    "mega": 6,
    "giga": 9,
    "deci": -1,
    "centi": -2,
    "milli": -3,
    "micro": -6,
    "nano": -9,
    "pico": -12,
}
CHINESE = {
    **{
        "米": ("m", 0),
        "厘米": ("m", -2),
        "毫米": ("m", -3),
        "千米": ("m", 3),
        "公里": ("m", 3),
        "度": ("deg", 0),
    },
    **{"克": ("g", 0), "千克": ("g", 3), "公斤": ("g", 3), "毫克": ("g", -3), "毫升": ("L", -3)},
    **{
        "分米": ("m", -1),
        "吨": ("tonne", 0),
        "公顷": ("ha", 0),
        "单位": ("unit", 0),
        "牛": ("N", 0),
        "焦耳": ("J", 0),
        "伏": ("V", 0),
        "秒": ("s", 0),
    },
}

# name | factor | dimension | p: takes prefixes | other names
TABLE = """
m        | 1                     | m            | p | meter meters metre metres
g        | 1/1000                | kg           | p | gram grams gm
s        | 1                     | s            | p | sec secs second seconds 秒
A        | 1                     | A            | p | amp amps ampere amperes
K        | 1                     | K            | p | kelvin kelvins
mol      | 1                     | mol          | p | mole moles
rad      | 1                     | rad          | p | radian radians rads
Hz       | 1                     | s-1          | p | hertz
N        | 1                     | m kg s-2     | p | newton newtons
J        | 1                     | m2 kg s-2    | p | joule joules
W        | 1                     | m2 kg s-3    | p | watt watts
Pa       | 1                     | m-1 kg s-2   | p | pascal pascals PA
C        | 1                     | s A          | p | coulomb coulombs
V        | 1                     | m2 kg s-3 A-1| p | volt volts
F        | 1                     | m-2 kg-1 s4 A2| p | farad farads
ohm      | 1                     | m2 kg s-3 A-2| p | ohms \\Omega
T        | 1                     | kg s-2 A-1   | p | tesla teslas
Wb       | 1                     | m2 kg s-2 A-1| p |
H        | 1                     | m2 kg s-2 A-2| p |
L        | 1/1000                | m3           | p | liter liters litre litres 升
l        | 1/1000                | m3           | p |
eV       | 1.602176634e-19       | m2 kg s-2    | p | electronvolt electronvolts
cal      | 4.184                 | m2 kg s-2    | p | calorie calories
bar      | 1e5                   | m-1 kg s-2   | p | bars
atm      | 101325                | m-1 kg s-2   |   |
torr     | 133.322368421         | m-1 kg s-2   |   | Torr
mmHg     | 133.322387415         | m-1 kg s-2   |   |
psi      | 6894.757293168        | m-1 kg s-2   |   |
min      | 60                    | s            |   | mins minute minutes 分钟
h        | 3600                  | s            |   | hr hrs hour hours 小时 时
day      | 86400                 | s            |   | days d 天
week     | 604800                | s            |   | weeks
yr       | 31557600              | s            |   | year years yrs y 年
in       | 0.0254                | m            |   | inch inches
ft       | 0.3048                | m            |   | foot feet
yd       | 0.9144                | m            |   | yard yards
mi       | 1609.344              | m            |   | mile miles
AU       | 149597870700          | m            |   |
angstrom | 1e-10                 | m            |   | angstroms Å Å
lb       | 0.45359237            | kg           |   | lbs pound pounds
oz       | 0.028349523125        | kg           |   | ounce ounces
tonne    | 1000                  | kg           |   | tonnes ton tons
u        | 1.66053906660e-27     | kg           |   | amu Da
lbf      | 4.4482216152605       | m kg s-2     |   |
deg      | pi/180                | rad          |   | ^\\circ
rev      | 2pi                   | rad          |   | revolution revolutions
kmh      | 5/18                  | m s-1        |   | kph
mph      | 0.44704               | m s-1        |   |
M        | 1000                  | m-3 mol      | p |
ha       | 10000                 | m2           |   | hectare hectares
hp       | 745.69987158227022    | m2 kg s-3    |   | horsepower
slug     | 14.593902937          | kg           |   | slugs
usd      | 1                     | usd          |   | dollar dollars USD 美元
yuan     | 1                     | cny          |   | RMB 元
cent     | 1/100                 | usd          |   | cents 美分
unit     | 1                     | unit         |   | units
degC     | 1                     | K            |   | celsius ℃
"""


def _read() -> tuple[dict[str, tuple[Fraction, Dimension, bool]], dict[str, str]]:
    units: dict[str, tuple[Fraction, Dimension, bool]] = {}
    names: dict[str, str] = {}
    for line in TABLE.strip().splitlines():
        name, factor, dimension, prefixed, others = (cell.strip() for cell in line.split("|"))
        powers = dict.fromkeys(BASE, 0)
        for part in dimension.split():
            base = part.rstrip("-0123456789")
            powers[base] = int(part[len(base) :] or 1)
        units[name] = (FACTORS.get(factor) or Fraction(factor), tuple(powers.values()), prefixed == "p")
        names |= dict.fromkeys((name, *others.split()), name)
    return units, names


UNITS, NAMES = _read()
