"""Parameters of the two kinds of users, derived from the profile of the real data.

`REGULAR` follows the figures of the full database (1,020,926 users), `ACTIVE` those of its 5,998
users with more than seven sessions since 2023-01-04. Weights need not add up to one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WINDOW_START = np.datetime64("2023-01-04", "D")
LAST_DAY = np.datetime64("2023-07-28", "D")
LAST_YEAR = 2023.571
"""The last day as a decimal year."""
FIRST_SIGN_UP = np.datetime64("2021-04-01", "D")
LAST_SIGN_UP = np.datetime64("2023-07-20", "D")
MOST_REGULAR_VISITS_IN_WINDOW = 7
MOST_VISITS = 17


@dataclass(frozen=True)
class Population:
    """The parameters that differ between the two kinds of users."""

    sign_ups: tuple[float, ...]
    """Sign-ups per month, from 2021-04 to 2023-07."""
    visits: tuple[float, ...]
    """Weights of 1, 2, ... session rows per user."""
    genders: tuple[float, float, float]
    """Weights of F, M, O."""
    gap_growth: float
    """Mean factor by which each gap between visits is longer than the one before."""
    last_gap: float
    """Factor on the gap from the last visit to the end of the data."""
    marriages: float
    """Factor on the share of married users by age."""
    hotel_nights: float
    """Factor on the nights of hotels without flight."""
    conversion: float
    """Factor on the conversion by age."""
    kinds: tuple[float, float, float]
    """Weights of package, hotel only, flight only among booking sessions."""
    holidays: tuple[float, float, float]
    """Share of long-planned holidays among packages, hotels only, flights only."""
    holiday_cancellation: float
    """Share of holidays that are cancelled at some time, possibly after the last day."""


REGULAR = Population(
    sign_ups=(
        *(825, 2_876, 10_486, 13_530, 12_229, 8_151, 7_423, 8_823, 11_212),
        *(15_190, 19_718, 26_287, 28_587, 30_500, 37_500, 36_700, 36_600),
        *(39_900, 42_900, 53_000, 60_600),
        *(62_300, 62_300, 82_900, 83_500, 87_000, 84_000, 56_000),
    ),
    visits=(
        *(50_912, 90_570, 125_544, 140_524, 144_825, 145_329, 126_573, 92_518),
        *(55_000, 27_500, 12_500, 5_500, 2_300, 850, 270, 70, 10),
    ),
    genders=(0.4444, 0.5475, 0.0081),
    gap_growth=1.33,
    last_gap=1.0,
    marriages=0.925,
    hotel_nights=1.25,
    conversion=1.318,
    kinds=(0.7013, 0.1533, 0.1454),
    holidays=(0.047, 0.0, 0.42),
    holiday_cancellation=0.27,
)
ACTIVE = Population(
    sign_ups=(
        *(0, 0, 0, 1, 0, 0, 0, 0, 0),
        *(0, 4, 4, 5, 10, 16, 4, 8, 16, 53, 113, 457),
        *(3_474, 1_348, 417, 64, 4, 0, 0),
    ),
    visits=(0, 0, 0, 0, 0, 0, 0, 4_909, 961, 119, 8, 1),
    genders=(0.8823, 0.1159, 0.0018),
    gap_growth=1.19,
    last_gap=0.7,
    marriages=1.0,
    hotel_nights=1.0,
    conversion=1.0,
    kinds=(0.7412, 0.1480, 0.1108),
    holidays=(0.0167, 0.0004, 0.1604),
    holiday_cancellation=0.75,
)
POPULATIONS = (REGULAR, ACTIVE)
"""Indexed by `People.active`."""

# --- people ---------------------------------------------------------------------------------

BIRTH_YEAR_MEAN, BIRTH_YEAR_SD = 1983.5, 12.9
"""Fits the known years of the full database. Years after 2006 count as 2006."""
YOUNGEST_BIRTH_YEAR, OLDEST_BIRTH_YEAR = 2006, 1931.2
ACTIVE_AGE_SHARES = (
    *(0, 0.0388, 0.0545, 0.1085, 0.1734, 0.2646, 0.4366, 0.6215),
    *(0.7783, 0.8976, 0.9475, 0.9612, 0.9848, 0.994, 0.999, 1.0),
)
ACTIVE_AGES = (
    *(16.571, 17.571, 20, 25, 30, 35, 40, 45),
    *(50, 55, 60, 65, 70, 75, 82, 88.2),
)
AGE_GROUPS = (20, 25, 30, 35, 40, 45, 50, 55, 60, 70)
"""Upper edges (years) of the age groups in the three tables below. The last group is open."""
MARRIED = (0.015, 0.102, 0.162, 0.216, 0.33, 0.481, 0.621, 0.691, 0.759, 0.786, 0.769)
CHILDREN_OF_SINGLE = (0.283, 0.247, 0.255, 0.268, 0.276, 0.262, 0.264, 0.241, 0.264, 0.083, 0.0)
CHILDREN_OF_MARRIED = (0.6, 0.576, 0.587, 0.415, 0.405, 0.426, 0.432, 0.468, 0.432, 0.17, 0.0)
CONVERSION = (0.137, 0.142, 0.301, 0.372, 0.372, 0.386, 0.386, 0.356, 0.356, 0.157, 0.123)
MIDDLE_AGE = 40.0

# --- visits ---------------------------------------------------------------------------------

TENURE_WEIGHT = 0.5
"""How strongly the number of visits depends on the time since sign-up (1) or on chance (0)."""
GAP_SHAPE = 1.5
BUSY_MONTHS, BUSY_FACTOR = (1, 2, 3), 2.1
"""Visits are more frequent in the first quarter of the year."""
HOURS = (
    *(0.56, 1.17, 1.29, 1.45, 1.54, 1.74, 1.85, 2.16, 2.42, 2.65, 3.12, 3.63),
    *(3.89, 4.53, 5.37, 5.98, 7.14, 7.65, 8.55, 9.64, 9.55, 8.63, 4.78, 0.71),
)
CONVERSION_BY_VISIT = (0.88, 0.885, 0.90, 0.91, 0.96, 1.01, 1.12, 1.30, 1.31, 1.28)
"""Only active users become more likely to book with every visit."""
CONVERSION_OF_PARENTS = 0.91

CLICK_SHARES = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1)
CLICKS = (
    (0.6, 1.0, 2.1, 2.7, 4.4, 8.3, 14.4, 23.4, 32, 59, 114, 279),
    (13.8, 16.2, 16.9, 17.8, 19.4, 23.2, 29.2, 41, 53, 107, 176, 566),
    (7.6, 9.0, 9.6, 10.2, 12.2, 16, 22, 33, 46, 105, 193, 211),
    (6.8, 9.0, 9.3, 10.1, 12.0, 15.2, 21.5, 33, 44, 94, 170, 274),
)
"""Quantiles of page clicks for: no booking, package, hotel only, flight only."""
FEWEST_CLICKS = (1, 14, 8, 7)
SECONDS_PER_CLICK = 7.43

FLIGHT_DISCOUNTS = (
    *(0.2181, 0.3207, 0.1990, 0.1154, 0.0702, 0.0396, 0.0188, 0.0094, 0.0057),
    *(0.0024, 0.0006, 0.0003, 0.0001),
)
HOTEL_DISCOUNTS = (0.3094, 0.3697, 0.1789, 0.0835, 0.0377, 0.0131, 0.0052, 0.0018, 0.0008, 0.0001)
"""Weights of discounts of 0.05, 0.10, ..."""
FLIGHT_DISCOUNT_SHARE = 0.1704
HOTEL_DISCOUNT_SHARES = (0.1228, 0.1497)
"""Without and with a flight discount in the same session."""

# --- trips ----------------------------------------------------------------------------------

LEAD_DAYS = (
    *(0, 0, 7, 83, 469, 1_401, 2_141, 2_449, 2_149, 1_665, 1_130, 692, 411, 253),
    *(150, 77, 43, 28, 13, 9, 3, 2, 1, 1),
)
"""Weights of 0, 1, ... days from booking to departure of ordinary flights."""
HOTEL_LEAD_DAYS = (
    *(0, 0.92, 4.49, 9.62, 10.79, 10.08, 9.74, 7.94, 7.6, 7.27, 4.91, 4.7, 3.86, 3.19, 2.86),
    *(1.76, 1.4, 1.35, 1.18, 0.88, 0.84, 0.8, 0.59, 0.4, 0.4, 0.29, 0.25, 0.22, 0.2, 0.16),
    *(0.14, 0.14, 0.14, 0.14, 0.12, 0.08, 0.06, 0.06, 0.05, 0.05, 0.05, 0.04, 0.04, 0.04),
)
"""The same for hotels without a flight, to check-in."""
HOLIDAY_LEAD_MONTHS = (0, 0, 0, 0.5, 4, 10, 60, 107, 103, 62, 51, 42, 27, 19)
"""Weights of 0, 1, ... times 28 days from booking to departure of holidays."""
HOLIDAY_OVERSEAS = 0.54
TRIP_DAYS = (
    *(0, 8.1, 26.3, 23.2, 15.1, 9.5, 6.0, 3.7, 2.3, 1.6, 1.1, 0.8, 0.55, 0.4),
    *(0.26, 0.2, 0.16, 0.13, 0.1, 0.08, 0.07, 0.05, 0.05, 0.04, 0.03, 0.03, 0.02, 0.02),
    *(0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01),
)
"""Weights of 0, 1, ... days of ordinary trips that depart in the morning."""
HOLIDAY_DAYS_MEAN, HOLIDAY_DAYS_SD = 12.6, 3.7
HOLIDAY_DAYS = (5, 35)
EARLIER_RETURN_SHARE = 0.6
"""Share of ordinary trips without a hotel that are a day shorter, down to zero days."""
ONE_WAY_SHARE = 0.0436
FIRST_DEPARTURE_HOUR = 7
DEPARTURE_HOURS = (
    (34.9, 8.9, 7.6, 7.5, 7.3, 7.0, 6.7, 6.8, 6.7, 6.5),
    (17.1, 6.0, 6.4, 5.2, 6.6, 5.3, 5.4, 6.6, 6.4, 4.5, 5.8, 5.2, 4.8, 5.4, 4.8, 4.7),
)
"""Weights of hours from 7 on, for ordinary flights and for holidays."""

SEATS = (0.0, 0.8719, 0.0944, 0.0263, 0.0074)
"""Weights of 0, 1, ... seats of ordinary flights."""
NO_SEATS_SHARE = 0.00006
"""Share of regular users' flights without seats and fare, an unexplained quirk of the real data."""
HOLIDAY_SEATS = (
    (0, 118, 65, 5),
    (0, 42, 41, 2),
    (0, 11, 108),
    (0, 3, 12, 24, 21, 19, 11, 4, 1.4, 0.4, 0.1, 0.03, 0.01),
)
"""By family: single, single parent, couple, couple with children."""
BAGS = (
    (1.0,),
    (0.4932, 0.4665, 0.0371, 0.0030, 0.0001, 0.0001),
    (0.4884, 0.4371, 0.0600, 0.0088, 0.0032, 0.0008, 0.0016),
    (0.5101, 0.3487, 0.0893, 0.0403, 0.0086, 0.0029),
    (0.5204, 0.2857, 0.1429, 0.0204, 0.0306),
)
"""Weights of 0, 1, ... checked bags of ordinary flights, by seats."""
HOLIDAY_EXTRA_BAG_SHARE = 0.15
"""Probability that a holiday has as many bags as seats. Otherwise it has one less."""
FARE_SHARES = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1)
FARE_PER_KM = (
    *(0.047, 0.0696, 0.0795, 0.0820, 0.0857, 0.0892),
    *(0.0932, 0.0969, 0.0991, 0.1031, 0.108, 0.1145),
)
"""Quantiles of the fare in USD per seat, kilometre and leg."""

BRANDS = (
    *("Hilton", "Best Western", "Four Seasons", "NH Hotel ", "Conrad ", "Extended Stay "),
    *("Rosewood", "Accor", "Crowne Plaza", "Starwood ", "Banyan Tree ", "Marriott ", "Wyndham"),
    *("Radisson ", "Choice Hotels", "Fairmont", "Aman Resorts", "Hyatt", "InterContinental "),
    *("Shangri-La",),
)
"""Eight brands carry a trailing blank in the real data."""
SHORTER_STAYS = (0.915, 0.082, 0.003)
"""Weights of the number of nights by which a stay is shorter than the trip allows."""
LATE_DEPARTURE_HOUR, LATE_SHARE_AT_NOON = 12, 0.5
"""Trips that depart after this hour last a day longer for the same nights; half of those at it."""
HOTEL_NIGHT_SHARES = (
    *(0, 0.016, 0.082, 0.182, 0.293, 0.403, 0.506, 0.598, 0.67, 0.737, 0.786),
    *(0.867, 0.912, 0.95, 0.98, 0.99, 0.999, 1.0),
)
HOTEL_NIGHTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 18, 23, 27, 38, 44)
"""Quantiles of the nights of hotels without flight, before rounding down."""
ROOMS_OF_HOTELS = (0, 0.7208, 0.2485, 0.0290, 0.0017)
ROOM_SHORT_SHARES = (0.0, 0.0, 0.06, 0.049, 0.116)
"""Share of stays with one room less than seats, by seats of ordinary flights."""
ROOM_PRICE_MU, ROOM_PRICE_SIGMA = 5.001, 0.600
CHEAPEST_ROOM, DEAREST_ROOM = 8, 2_377

# --- cancellations --------------------------------------------------------------------------

ORDINARY_CANCELLATION = 0.0208
HOLIDAY_REGRET_DAYS = 52.0
"""Mean days until a holiday is cancelled."""
CANCELLATION_MINUTES_MEAN = 220.0
CANCELLATION_MINUTES = (10, 120)
CANCELLATION_CLICKS = (10, 200)
"""A cancellation takes an exponential time, clipped to these limits. It has a click per minute."""
PAUSE_BEFORE_CANCELLATION = np.timedelta64(10, "m")
