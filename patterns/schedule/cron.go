package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cron is when a clock matches an expression, as the server sees it, which does not tell
// what it has made of one before it has come once.
type cron struct {
	fields [6]uint64 // a bit for each second, minute, hour, day, month, day of the week
	anyDay bool      // a star for one of the days: both must match; else one of them is enough
	zone   *time.Location
}

var units = [6]struct {
	name     string
	min, max int
	names    []string
}{
	{"second", 0, 59, nil}, {"minute", 0, 59, nil}, {"hour", 0, 23, nil}, {"day of the month", 1, 31, nil},
	{"month", 1, 12, []string{"", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{"day of the week", 0, 6, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

var named = map[string]string{
	"@yearly": "0 0 0 1 1 *", "@annually": "0 0 0 1 1 *", "@monthly": "0 0 0 1 * *", "@weekly": "0 0 0 * * 0",
	"@daily": "0 0 0 * * *", "@midnight": "0 0 0 * * *", "@hourly": "0 0 * * * *",
}

func parseCron(expr, zone string) (c cron, err error) {
	if c.zone, err = time.LoadLocation(zone); err != nil || zone == "Local" { // whose?
		return c, fmt.Errorf("%w: time zone %.80q; use a name like Europe/Amsterdam", ErrWhen, zone)
	}
	if full, ok := named[expr]; ok {
		expr = full
	}
	fields := strings.Fields(expr)
	if len(fields) != len(units) {
		return c, fmt.Errorf("%w: cron %.80q has %d fields; use second minute hour day month weekday, or @daily", ErrWhen, expr, len(fields))
	}
	for i, f := range fields {
		for part := range strings.SplitSeq(f, ",") {
			bits, err := c.parse(i, part)
			if err != nil {
				return c, err
			}
			c.fields[i] |= bits
		}
	}
	return c, nil
}

// parse reads one of: * 5 mon 1-5 */2 5/2 1-10/3.
func (c *cron) parse(field int, part string) (bits uint64, err error) {
	u := units[field]
	bad := fmt.Errorf("%w: %.40q is no %s of a cron; from %d to %d", ErrWhen, part, u.name, u.min, u.max)
	number := func(s string) int {
		if i := slices.Index(u.names, strings.ToLower(s)); i >= u.min {
			return i
		}
		if n, err := strconv.Atoi(s); err == nil {
			return n
		}
		return -1
	}
	span, by, stepped := strings.Cut(part, "/")
	from, to, ranged := strings.Cut(span, "-")
	low, high, step := number(from), number(to), 1
	if stepped {
		step = number(by)
	}
	switch {
	case from == "*" || from == "?":
		low, high = u.min, u.max
		c.anyDay = c.anyDay || step == 1 && (field == 3 || field == 5)
	case stepped && !ranged:
		high = u.max
	case !ranged:
		high = low
	}
	if low < u.min || high > u.max || low > high || step < 1 {
		return 0, bad
	}
	for n := low; n <= high; n += step {
		bits |= 1 << n
	}
	return bits, nil
}

// next returns the first time after t that matches, within five years; zero if none does.
func (c cron) next(t time.Time) time.Time {
	has := func(field, n int) bool { return c.fields[field]&(1<<n) != 0 }
	t = t.In(c.zone).Truncate(time.Second).Add(time.Second)
	for end := t.AddDate(5, 0, 0); t.Before(end); {
		day, weekday := has(3, t.Day()), has(5, int(t.Weekday()))
		then := t
		switch year, month, d := t.Date(); {
		case !has(4, int(month)):
			then = time.Date(year, month+1, 1, 0, 0, 0, 0, c.zone)
		case c.anyDay && !(day && weekday) || !day && !weekday:
			then = time.Date(year, month, d+1, 0, 0, 0, 0, c.zone)
		case !has(2, t.Hour()):
			then = t.Add(time.Hour - time.Duration(t.Minute())*time.Minute - time.Duration(t.Second())*time.Second)
		case !has(1, t.Minute()):
			then = t.Add(time.Minute - time.Duration(t.Second())*time.Second)
		case !has(0, t.Second()):
			then = t.Add(time.Second)
		default:
			return t
		}
		if !then.After(t) { // a midnight that the zone leaves out
			then = t.Add(time.Hour)
		}
		t = then
	}
	return time.Time{}
}
