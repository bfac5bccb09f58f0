package schedule

import "time"

// CronNext is what a Calendar takes the server to make of a cron.
func CronNext(expr, zone string, t time.Time) (time.Time, error) {
	c, err := parseCron(expr, zone)
	return c.Next(t), err
}
