const DAY_MS = 86_400_000;
const [SUNDAY, MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, SATURDAY] = [0, 1, 2, 3, 4, 5, 6];

/** The first year whose rules are here: Martin Luther King Day became a holiday of the exchange in 1998. */
export const FIRST_YEAR = 1998;

// Source of both tables and of all rules: the New York Stock Exchange's yearly announcements, as exchange_calendars has them.
const SPECIAL_CLOSURES = [
  ...[dayOf(2001, 9, 11), dayOf(2001, 9, 12), dayOf(2001, 9, 13), dayOf(2001, 9, 14)], // Attacks of 11 September
  dayOf(2004, 6, 11), // Mourning for President Reagan
  dayOf(2007, 1, 2), // Mourning for President Ford
  ...[dayOf(2012, 10, 29), dayOf(2012, 10, 30)], // Hurricane Sandy
  dayOf(2018, 12, 5), // Mourning for President Bush
  dayOf(2025, 1, 9), // Mourning for President Carter
];
const SPECIAL_EARLY_CLOSES = [
  dayOf(1999, 12, 31), // Change of the millennium
  dayOf(2003, 12, 26), // Friday after Christmas
];

/** Whether a day (days since 1970-01-01) is a Saturday or a Sunday. */
export function isWeekend(day: number): boolean {
  return weekdayOf(day) === SATURDAY || weekdayOf(day) === SUNDAY;
}

/**
 * The days (since 1970-01-01) of a year from {@link FIRST_YEAR} on at which the New York Stock Exchange is closed,
 * besides weekends.
 */
export function holidaysOf(year: number): ReadonlySet<number> {
  const newYear = dayOf(year, 1, 1);
  const holidays = [
    // On a Saturday it moves nowhere: the Friday before closes the books of the year.
    weekdayOf(newYear) === SUNDAY ? newYear + 1 : newYear,
    nthWeekday(year, 1, MONDAY, 3), // Martin Luther King
    nthWeekday(year, 2, MONDAY, 3), // Presidents
    goodFriday(year),
    nthWeekday(year, 6, MONDAY, 1) - 7, // Memorial
    observed(dayOf(year, 7, 4)), // Independence
    nthWeekday(year, 9, MONDAY, 1), // Labor
    thanksgiving(year),
    observed(dayOf(year, 12, 25)), // Christmas
  ];
  if (year >= 2022) holidays.push(observed(dayOf(year, 6, 19))); // Juneteenth
  return new Set([...holidays, ...SPECIAL_CLOSURES.filter((day) => isIn(year, day))]);
}

/**
 * The sessions (days since 1970-01-01) of a year from {@link FIRST_YEAR} on that end at 13:00 in New York, not at 16:00.
 */
export function earlyClosesOf(year: number): ReadonlySet<number> {
  const [beforeIndependence, afterIndependence] = [dayOf(year, 7, 3), dayOf(year, 7, 5)];
  const christmasEve = dayOf(year, 12, 24);
  const early = [thanksgiving(year) + 1, ...SPECIAL_EARLY_CLOSES.filter((day) => isIn(year, day))];
  // On a Friday both eves are the holiday itself, observed.
  if ([MONDAY, TUESDAY, WEDNESDAY, THURSDAY].includes(weekdayOf(christmasEve))) early.push(christmasEve);
  if ([MONDAY, TUESDAY, THURSDAY].includes(weekdayOf(beforeIndependence))) early.push(beforeIndependence);
  // Where Independence Day is a Thursday, the short session came after it until 2012, and comes before it since.
  if (weekdayOf(afterIndependence) === FRIDAY) early.push(year < 2013 ? afterIndependence : beforeIndependence);
  return new Set(early);
}

function dayOf(year: number, month: number, day: number): number {
  return Date.UTC(year, month - 1, day) / DAY_MS;
}

function isIn(year: number, day: number): boolean {
  return day >= dayOf(year, 1, 1) && day < dayOf(year + 1, 1, 1);
}

/** 0 for Sunday, of a day since 1970-01-01: that was a Thursday. */
function weekdayOf(day: number): number {
  return (day + THURSDAY) % 7;
}

function nthWeekday(year: number, month: number, weekday: number, n: number): number {
  const first = dayOf(year, month, 1);
  return first + ((weekday - weekdayOf(first) + 7) % 7) + (n - 1) * 7;
}

function observed(day: number): number {
  return weekdayOf(day) === SATURDAY ? day - 1 : weekdayOf(day) === SUNDAY ? day + 1 : day;
}

function thanksgiving(year: number): number {
  return nthWeekday(year, 11, THURSDAY, 4);
}

/** Two days before the Sunday after the first full moon of spring, as the Gregorian church calendar counts moons. */
function goodFriday(year: number): number {
  const golden = year % 19;
  const century = Math.floor(year / 100);
  const solarShift = century - Math.floor(century / 4);
  const lunarShift = Math.floor((8 * century + 13) / 25);
  const moon = (15 + solarShift - lunarShift + 19 * golden) % 30;
  const isLate = moon === 29 || (moon === 28 && golden > 10);
  const fullMoon = dayOf(year, 3, 21) + moon - (isLate ? 1 : 0);
  return fullMoon + 7 - weekdayOf(fullMoon) - 2;
}
