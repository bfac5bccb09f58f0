package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// parser is the parser that the server uses. The server refuses a bad expression without
// a reason, and does not return when a message is first due.
var parser = cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

func parseCron(expr, zone string) (cron.Schedule, error) {
	place, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return nil, fmt.Errorf("%w: time zone %.80q; use a name like Europe/Amsterdam", ErrTime, zone)
	}
	fields := strings.Fields(expr)
	if len(fields) != 6 {
		return nil, fmt.Errorf("%w: cron %.80q has %d fields; use 6: second minute hour day month weekday", ErrTime, expr, len(fields))
	}
	if slices.ContainsFunc(fields, func(f string) bool { return strings.Trim(f, ",") == "" }) {
		return nil, fmt.Errorf("%w: cron %.80q has an empty field", ErrTime, expr) // the parser would search for seconds
	}
	c, err := parser.Parse(expr)
	if err != nil {
		return nil, fmt.Errorf("%w: cron %.80q: %w", ErrTime, expr, err)
	}
	c.(*cron.SpecSchedule).Location = place
	return c, nil
}
