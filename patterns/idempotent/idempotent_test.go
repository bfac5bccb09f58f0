package idempotent_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/idempotent"
)

// conformance holds the cases of all variants.
var conformance = []struct {
	name string
	run  func(t *testing.T, s *natstest.Server, db testDB, open func(receiver string) onceFunc)
}{
	{"ten redeliveries, one effect", func(t *testing.T, _ *natstest.Server, db testDB, open func(string) onceFunc) {
		once := open("mailer")
		for i := range 11 {
			done, err := once(t.Context(), "msg-1", effectOf("msg-1"))
			require.NoError(t, err)
			require.Equal(t, i == 0, done)
		}
		require.Equal(t, map[string]int{"msg-1": 1}, db.executions())
	}},
	{"each ID has its own effect, for each receiver", func(t *testing.T, _ *natstest.Server, db testDB, open func(string) onceFunc) {
		for _, receiver := range []string{"mailer", "printer"} {
			for _, id := range []string{"msg-1", "msg-2"} {
				done, err := open(receiver)(t.Context(), id, effectOf(id))
				require.NoError(t, err)
				require.True(t, done)
			}
		}
		require.Equal(t, map[string]int{"msg-1": 2, "msg-2": 2}, db.executions())
	}},
	{"a record is found by other receivers, later, and after a server restart", func(t *testing.T, s *natstest.Server, db testDB, open func(string) onceFunc) {
		for i := range 4 {
			done, err := open("mailer")(t.Context(), "msg-1", effectOf("msg-1"))
			require.NoError(t, err)
			require.Equal(t, i == 0, done)
			time.Sleep(10 * time.Minute)
			s.Stop()
			require.NoError(t, s.Start())
			time.Sleep(time.Second)
		}
		require.Equal(t, map[string]int{"msg-1": 1}, db.executions())
	}},
}

// effectOf returns the effect of the message id.
func effectOf(id string) func(execer) error {
	return func(to execer) error { return execute(to, id) }
}

func TestConformance(t *testing.T) {
	for _, v := range variants {
		for _, c := range conformance {
			t.Run(v.name+"/"+c.name, func(t *testing.T) {
				natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
					db, js := newDB(t, 1), s.JetStream("worker")
					c.run(t, s, db, func(receiver string) onceFunc {
						r, err := v.open(t.Context(), js, db, receiver, config)
						require.NoError(t, err)
						return r
					})
				})
			})
		}
	}
}

// After an effect that returned an error or panicked, the message is free for a retry.
func TestFailed(t *testing.T) {
	for _, v := range []variant{inKV, inTx} {
		t.Run(v.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				db := newDB(t, 1)
				once, err := v.open(t.Context(), s.JetStream("worker"), db, "mailer", config)
				require.NoError(t, err)
				done, err := once(t.Context(), "msg-1", func(execer) error { return errFailed })
				require.ErrorIs(t, err, errFailed)
				require.False(t, done)
				require.PanicsWithError(t, errFailed.Error(), func() {
					_, _ = once(t.Context(), "msg-1", func(execer) error { panic(errFailed) })
				})
				if done, err = once(t.Context(), "msg-1", effectOf("msg-1")); v.name == inKV.name {
					require.ErrorIs(t, err, idempotent.ErrBusy, "until the claim of the call that panicked expires")
					time.Sleep(config.Lease + 2*time.Second) // the server expires it up to 2 s late
					done, err = once(t.Context(), "msg-1", effectOf("msg-1"))
				}
				require.NoError(t, err)
				require.True(t, done)
				done, err = once(t.Context(), "msg-1", effectOf("msg-1"))
				require.NoError(t, err)
				require.False(t, done)
				require.Equal(t, map[string]int{"msg-1": 1}, db.executions())
			})
		})
	}
}

// Ten concurrent deliveries have one effect. Those that do not wait for it return ErrBusy.
func TestAtOnce(t *testing.T) {
	s := natstest.Start(t)
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			db := newDB(t, 10)
			atOnce(t, s, db, v)
			require.Equal(t, map[string]int{"msg-1": 1}, db.executions())
		})
	}
}

func atOnce(t *testing.T, s *natstest.Server, db testDB, v variant) {
	var all sync.WaitGroup
	var effects atomic.Int64
	errs := make(chan error, 10)
	for i := range cap(errs) {
		once, err := v.open(t.Context(), s.JetStream(fmt.Sprint("worker-", i)), db, "mailer", idempotent.Config{MaxAge: time.Hour})
		require.NoError(t, err)
		all.Go(func() {
			done, err := once(t.Context(), "msg-1", func(to execer) error { effects.Add(1); return execute(to, "msg-1") })
			if done != (err == nil) && err != nil {
				errs <- err
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		require.ErrorIs(t, err, idempotent.ErrBusy)
	}
	require.EqualValues(t, 1, effects.Load())
}

// Records are bounded: a message that is redelivered after MaxAge, or after the window,
// has its effect again.
func TestBound(t *testing.T) {
	for _, v := range []variant{onPublish, inTx} {
		t.Run(v.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				db := newDB(t, 1)
				once, err := v.open(t.Context(), s.JetStream("worker"), db, "mailer", config)
				require.NoError(t, err)
				for i := range 25 { // a new message every eleven minutes, and always the first one
					for _, id := range []string{"msg-0", fmt.Sprint("msg-", i)} {
						_, err = once(t.Context(), id, effectOf(id))
						require.NoError(t, err)
					}
					time.Sleep(11 * time.Minute)
				}
				counts := db.executions()
				require.Len(t, counts, 25)
				require.Equal(t, 5, counts["msg-0"], "at 0:00, 1:06, 2:12, 3:18 and 4:24")
				if v.name == inTx.name {
					var records int
					require.NoError(t, db.QueryRow("SELECT COUNT(*) FROM idempotent_done").Scan(&records))
					require.LessOrEqual(t, records, 8, "the records of the last hour")
				}
			})
		})
	}
}

// The same for a record in KV, on the real clock: see century.
func TestBoundKV(t *testing.T) {
	t.Parallel()
	db := newDB(t, 1)
	once, err := inKV.open(t.Context(), natstest.Start(t).JetStream("worker"), db, "mailer", idempotent.Config{MaxAge: time.Second, Lease: time.Second})
	require.NoError(t, err)
	_, err = once(t.Context(), "msg-1", effectOf("msg-1"))
	require.NoError(t, err)
	natstest.Eventually(t, 10*time.Second, func(ctx context.Context) error {
		done, err := once(ctx, "msg-1", effectOf("msg-1"))
		if err == nil && !done {
			err = fmt.Errorf("the record has not expired")
		}
		return err
	})
	require.Equal(t, map[string]int{"msg-1": 2}, db.executions())
}
