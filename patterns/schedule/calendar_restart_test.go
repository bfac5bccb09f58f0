package schedule_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schedule"
)

// kill stops the server without the files that it writes during a shutdown.
func kill(t *testing.T, s *natstest.Server) {
	dir, removed := s.Server.Server().StoreDir(), 0
	s.Stop()
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if base := filepath.Base(path); base == "sched.db" || base == "index.db" {
			removed++
			return os.Remove(path)
		}
		return err
	}))
	require.NotZero(t, removed)
}

// Schedules survive a restart. A message that was due meanwhile is due after the restart,
// a recurring one at most once. Then an interval starts again, and a cron does not change.
func TestRestart(t *testing.T) {
	for name, tc := range map[string]struct {
		stop func(t *testing.T, s *natstest.Server)
		want []string
	}{
		"after a shutdown a recurring message is due once": {func(_ *testing.T, s *natstest.Server) { s.Stop() },
			[]string{"10s cron", "10s every", "20s cron", "20s every", "47.25s cron", "47.25s every", "47.25s once", "50s cron", "57s every", "1m0s cron", "1m5s late", "1m7s every"}},
		"after a crash a recurring message is not due": {kill,
			[]string{"10s cron", "10s every", "20s cron", "20s every", "47.25s once", "50s cron", "57s every", "1m0s cron", "1m5s late", "1m7s every"}},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				c := calendar(t, s, "clerk", schedule.Config{})
				require.NoError(t, c.Cron(t.Context(), "cron", "*/10 * * * * *", "", body("")))
				require.NoError(t, c.Every(t.Context(), "every", 10*time.Second, body("")))
				require.NoError(t, c.At(t.Context(), "once", midnight.Add(30*time.Second), body("")))
				require.NoError(t, c.At(t.Context(), "late", midnight.Add(65*time.Second), body("")))
				time.Sleep(22 * time.Second)
				s.Link("clerk").Down()
				tc.stop(t, s)
				time.Sleep(25 * time.Second)
				require.NoError(t, s.Start())
				time.Sleep(22 * time.Second)
				var have []string
				for _, d := range due(t, s) {
					have = append(have, d[:len(d)-1])
				}
				require.Equal(t, tc.want, have)
			})
		})
	}
}

// Get returns the next time also if the last due message is older than MaxAge.
func TestSeldom(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		c := calendar(t, s, "clerk", schedule.Config{MaxAge: time.Minute})
		require.NoError(t, c.Cron(t.Context(), "cron", "0 0 * * * *", "", body("")))
		require.NoError(t, c.Every(t.Context(), "every", time.Hour, body("")))
		for hour := range 3 {
			time.Sleep(time.Until(midnight.Add(time.Duration(hour)*time.Hour + 30*time.Minute)))
			require.Empty(t, due(t, s))
			for _, id := range []string{"cron", "every"} {
				p, err := c.Get(t.Context(), id)
				require.NoError(t, err)
				require.Equal(t, midnight.Add(time.Duration(hour+1)*time.Hour), p.Next, id)
			}
		}
		for _, id := range []string{"cron", "every"} {
			cancelled, err := c.Cancel(t.Context(), id)
			require.NoError(t, err)
			require.True(t, cancelled, id)
		}
	})
}

// List and Get return each scheduled message with its next time and its connection.
func TestList(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		c, boss := calendar(t, s, "clerk", schedule.Config{}), calendar(t, s, "boss", schedule.Config{})
		list := func() (all [][4]string) {
			t.Helper()
			plans, err := c.List(t.Context())
			require.NoError(t, err)
			for _, p := range plans {
				all = append(all, [4]string{p.ID, p.When, p.By, p.Next.Sub(midnight).String()})
				next, err := c.Get(t.Context(), p.ID)
				require.NoError(t, err)
				require.Equal(t, next, p)
			}
			return all
		}
		require.Empty(t, list())
		require.NoError(t, c.Cron(t.Context(), "report", "0 0 2 * * *", "Europe/Amsterdam", body("report")))
		require.NoError(t, c.At(t.Context(), "gone", midnight.Add(time.Second), body("x")))
		require.NoError(t, boss.Every(t.Context(), "clean", 20*time.Minute, body("clean")))
		require.NoError(t, boss.At(t.Context(), "raise", midnight.Add(1500*time.Hour), body("raise")))
		require.NoError(t, boss.At(t.Context(), "not", midnight.Add(1500*time.Hour), body("raise")))
		_, err := boss.Cancel(t.Context(), "not")
		require.NoError(t, err)
		raise, report := [4]string{"raise", "@at 2000-03-03T12:00:00Z", "boss", "1500h0m0s"}, [4]string{"report", "0 0 2 * * * Europe/Amsterdam", "clerk", "1h0m0s"}
		time.Sleep(time.Minute)
		require.Equal(t, [][4]string{{"clean", "@every 20m0s", "boss", "20m0s"}, report, raise}, list())
		time.Sleep(50 * time.Minute)
		require.Equal(t, [][4]string{{"clean", "@every 20m0s", "boss", "1h0m0s"}, report, raise}, list(), "the same time: ordered by ID")
		time.Sleep(10 * time.Minute)
		report[3] = "25h0m0s"
		require.Equal(t, [][4]string{{"clean", "@every 20m0s", "boss", "1h20m0s"}, report, raise}, list())
	})
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		c := calendar(t, s, "clerk", schedule.Config{Storage: jetstream.MemoryStorage})
		for i := range 100 {
			require.NoError(t, c.At(t.Context(), fmt.Sprint("n-", i), midnight.Add(time.Hour-time.Duration(i)*time.Second), body("x")))
		}
		plans, err := c.List(t.Context())
		require.NoError(t, err)
		require.Len(t, plans, 100)
		require.Equal(t, "n-99", plans[0].ID)
	})
}
