package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// parser reads what the server does, which refuses a bad cron without a reason and tells
// of no time when it comes before it has come once.
var parser = cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

func parseCron(expr, zone string) (cron.Schedule, error) {
	place, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" { // whose?
		return nil, fmt.Errorf("%w: time zone %.80q; use a name like Europe/Amsterdam", ErrWhen, zone)
	}
	fields := strings.Fields(expr)
	if len(fields) != 6 {
		return nil, fmt.Errorf("%w: cron %.80q has %d fields; use 6: second minute hour day month weekday", ErrWhen, expr, len(fields))
	}
	if slices.ContainsFunc(fields, func(f string) bool { return strings.Trim(f, ",") == "" }) {
		return nil, fmt.Errorf("%w: cron %.80q has an empty field", ErrWhen, expr) // which takes it seconds to find never comes
	}
	c, err := parser.Parse(expr)
	if err != nil {
		return nil, fmt.Errorf("%w: cron %.80q: %w", ErrWhen, expr, err)
	}
	c.(*cron.SpecSchedule).Location = place
	return c, nil
}
