package schedule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// cron is when a clock matches an expression, as the server sees it; which refuses a bad
// one without a reason, and tells of none when it comes before it has come once.
type cron struct {
	match  [6]uint64 // a bit for each second, minute, hour, day, month, day of the week
	either bool      // there is no star for a day: one of both matching is enough
	zone   *time.Location
}

var units = [6]struct {
	name     string
	min, max int
}{{"second", 0, 59}, {"minute", 0, 59}, {"hour", 0, 23}, {"day of the month", 1, 31}, {"month", 1, 12}, {"day of the week", 0, 6}}

func parseCron(expr, zone string) (c cron, err error) {
	if c.zone, err = time.LoadLocation(zone); err != nil || zone == "Local" { // whose?
		return c, fmt.Errorf("%w: time zone %.80q; use a name like Europe/Amsterdam", ErrWhen, zone)
	}
	fields := strings.Fields(expr)
	if len(fields) != len(units) {
		return c, fmt.Errorf("%w: cron %.80q has %d fields; use 6: second minute hour day month weekday", ErrWhen, expr, len(fields))
	}
	c.either = true
	for i, u := range units {
		for part := range strings.SplitSeq(fields[i], ",") {
			low, high, step, err := parseRange(part, u.min, u.max)
			if err != nil || low < u.min || high > u.max || low > high || step < 1 {
				return c, fmt.Errorf("%w: %.40q is no %s of a cron; from %d to %d", ErrWhen, part, u.name, u.min, u.max)
			}
			for n := low; n <= high; n += step {
				c.match[i] |= 1 << n
			}
			if part[0] == '*' && step == 1 && u.name[0] == 'd' {
				c.either = false
			}
		}
	}
	return c, nil
}

// parseRange reads one of *, 5, 1-5, */2, 5/2, 1-10/3.
func parseRange(part string, least, most int) (low, high, step int, err error) {
	span, by, stepped := strings.Cut(part, "/")
	from, to, ranged := strings.Cut(span, "-")
	step = 1
	if stepped {
		step, err = strconv.Atoi(by)
	}
	if span == "*" {
		return least, most, step, err
	}
	low, err1 := strconv.Atoi(from)
	high, err2 := low, error(nil)
	if ranged {
		high, err2 = strconv.Atoi(to)
	} else if stepped {
		high = most
	}
	return low, high, step, errors.Join(err, err1, err2)
}

// next returns the first time after t that matches, within five years; zero if none does.
func (c cron) next(t time.Time) time.Time {
	has := func(unit, n int) bool { return c.match[unit]&(1<<n) != 0 }
	t = t.In(c.zone).Truncate(time.Second).Add(time.Second)
	for end := t.AddDate(5, 0, 0); t.Before(end); {
		then := t
		switch year, month, d := t.Date(); {
		case !has(4, int(month)):
			then = time.Date(year, month+1, 1, 0, 0, 0, 0, c.zone)
		case !c.day(has(3, d), has(5, int(t.Weekday()))):
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

func (c cron) day(ofMonth, ofWeek bool) bool {
	return ofMonth && ofWeek || c.either && (ofMonth || ofWeek)
}
