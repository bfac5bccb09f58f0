package schedule_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schedule"
)

// Get returns the next time of a cron as the server computes it. Each of these messages
// is due soon, and then the server stores its next time.
func TestCronAgrees(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		c, first := calendar(t, s, "clerk", schedule.Config{}), map[string]time.Time{}
		crons := []string{
			"* * * * * *", "*/7 * * * * *", "5/20 * * * * *", "3,9-11,40-50/5 * * * * *", "4 0 0 1 * *", "4 0 0 1 1 *", "4 0 0 * * 6", "4 0 0 * jan-mar sat,SUN",
			"4 0 0 1 * 1", "4 0 0 */2 * 1", "4 0 0 1,31 * */1", "4 0 0 1,*/1 * 6", "4 0 0 * 2,1 1-6", "4 0 0 1 1/5 *", "0 1/1 */6 * * *", "0 0/1 0 1 1,12 *", "30 0 0 29,1 1,2 *",
			"5 0 1 1 1,4 * Europe/Amsterdam", "5 0 19 31 12,6 * America/New_York", "5 30 5 * * * Asia/Kolkata", "5 45 5 1 1,7 * Asia/Kathmandu", "5 0 11 1 * * Australia/Lord_Howe",
		}
		for i, cron := range crons {
			fields := strings.Fields(cron)
			zone := strings.Join(fields[6:], "")
			id := fmt.Sprint("cron-", i)
			require.NoError(t, c.Cron(t.Context(), id, strings.Join(fields[:6], " "), zone, body(cron)))
			p, err := c.Get(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, cron, p.When)
			first[cron] = p.Next
		}
		time.Sleep(3 * time.Minute)
		again := 0
		for _, m := range stored(t, s) {
			cron, by, next := string(m.Data), m.Header.Get("Nats-Scheduler"), m.Header.Get("Nats-Schedule-Next")
			if by == "" || next == "purge" {
				continue
			}
			if at := first[cron]; !at.IsZero() {
				require.Equal(t, at, m.Time.UTC(), cron)
				delete(first, cron)
			}
			fields := strings.Fields(cron)
			want, err := schedule.CronNext(strings.Join(fields[:6], " "), strings.Join(fields[6:], ""), m.Time)
			require.NoError(t, err)
			have, err := time.Parse(time.RFC3339Nano, next)
			require.NoError(t, err)
			require.Equal(t, want.UTC(), have.UTC(), cron)
			again++
		}
		require.Empty(t, first, "all were due")
		require.Greater(t, again, 200)
	})
}

// A cron uses the clock of its zone. A time in the hour that is skipped in spring is
// skipped, and a time in the hour that is repeated in autumn is repeated.
func TestZones(t *testing.T) {
	for name, tc := range map[string]struct {
		cron, zone, after string
		want              []string
	}{
		"in summer UTC is an hour earlier":        {"0 0 8 * * *", "Europe/Amsterdam", "2026-03-28T00:00:00Z", []string{"2026-03-28T07:00:00Z", "2026-03-29T06:00:00Z"}},
		"half past two is skipped in spring":      {"0 30 2 * * *", "Europe/Amsterdam", "2026-03-28T00:00:00Z", []string{"2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"}},
		"half past two is repeated in autumn":     {"0 30 2 * * *", "Europe/Amsterdam", "2026-10-24T00:00:00Z", []string{"2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"}},
		"half past two in UTC is once a day":      {"0 30 2 * * *", "", "2026-10-24T12:00:00Z", []string{"2026-10-25T02:30:00Z", "2026-10-26T02:30:00Z"}},
		"a midnight that is skipped":              {"0 0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", []string{"2018-11-05T02:00:00Z"}},
		"a day that begins at one o'clock":        {"0 0 5 4 11 *", "America/Sao_Paulo", "2018-11-01T00:00:00Z", []string{"2018-11-04T07:00:00Z"}},
		"a day of the month or a day of the week": {"0 0 0 13 * 5", "", "2026-02-01T00:00:00Z", []string{"2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z"}},
		"the 29th of February":                    {"0 0 0 29 2 *", "", "2025-03-01T00:00:00Z", []string{"2028-02-29T00:00:00Z"}},
		"the next hour after a repeated hour":     {"0 10 3 * * *", "Europe/Amsterdam", "2026-10-25T01:15:00Z", []string{"2026-10-25T02:10:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, tc.after)
			require.NoError(t, err)
			for _, want := range tc.want {
				at, err = schedule.CronNext(tc.cron, tc.zone, at)
				require.NoError(t, err)
				require.Equal(t, want, at.UTC().Format(time.RFC3339))
			}
		})
	}
	t.Run("the server skips it, too", func(t *testing.T) { // Khartoum went from noon to one on January 15th, 2000
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			c := calendar(t, s, "clerk", schedule.Config{})
			require.NoError(t, c.Cron(t.Context(), "prayer", "2 30 12 1,15 * *", "Africa/Khartoum", body("noon")))
			time.Sleep(10*time.Hour + 31*time.Minute)
			p, err := c.Get(t.Context(), "prayer")
			require.NoError(t, err)
			require.Len(t, due(t, s), 1)
			require.Equal(t, "2000-02-01T09:30:02Z", p.Next.Format(time.RFC3339), "not the 15th")
		})
	})
}

// A bad time is refused before it is sent, with the reason.
func TestBadTimes(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		c := calendar(t, s, "clerk", schedule.Config{})
		s.Link("clerk").Down() // a request would fail with another error
		for cron, what := range map[string]string{
			"": "has 0 fields", "0 2 * * *": "has 5 fields; use 6: second minute hour day month weekday", "@daily": "has 1 fields", "TZ=UTC 0 0 0 * *": "found 5",
			"60 * * * * *": "end of range (60) above maximum (59)", "* * 24 * * *": "(24) above", "* * * 0 * *": "(0) below minimum (1)", "* * * * 13 *": "(13) above",
			"* * * * * 7": "(7) above", "* * * * * noday": "noday", "1-70 * * * * *": "(70) above", "9-3 * * * * *": "beyond end of range", "*/0 * * * * *": "positive number",
			"*/x * * * * *": "parse int", "-1 * * * * *": "parse int", "1--2 * * * * *": "too many hyphens", "0 0 0 31 2 *": "is never due", ", * * * * *": "empty field",
		} {
			err := c.Cron(t.Context(), "a", cron, "", body("x"))
			require.ErrorIs(t, err, schedule.ErrTime, cron)
			require.ErrorContains(t, err, what, cron)
		}
		for _, zone := range []string{"Mars/Olympus", "Local", "../etc/passwd"} {
			require.ErrorIs(t, c.Cron(t.Context(), "a", "0 0 0 * * *", zone, body("x")), schedule.ErrTime)
		}
		for _, every := range []time.Duration{0, -time.Second, 500 * time.Millisecond, 1500 * time.Millisecond} {
			require.ErrorIs(t, c.Every(t.Context(), "a", every, body("x")), schedule.ErrTime)
		}
		s.Link("clerk").Up()
		time.Sleep(time.Second)
		require.ErrorIs(t, c.At(t.Context(), "a", midnight.AddDate(300, 0, 0), body("x")), schedule.ErrTime)
		require.ErrorIs(t, c.Every(t.Context(), "a", (math.MaxInt64/time.Second)*time.Second, body("x")), schedule.ErrTime)
		for _, at := range []time.Time{{}, midnight, time.Now(), time.Now().Add(-time.Hour)} {
			require.ErrorIs(t, c.At(t.Context(), "a", at, body("x")), schedule.ErrPast)
		}
	})
}
