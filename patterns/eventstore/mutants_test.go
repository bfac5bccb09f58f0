package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/patterns/eventstore"
)

// TestFaults finds the bugs of these mutants.
func TestMutants(t *testing.T) {
	for name, mutant := range map[string]appender{
		"read the version, compare, write": func(s client, ctx context.Context, id string, at eventstore.Version, events ...eventstore.Event) (eventstore.Version, error) {
			_, actual, err := read(ctx, s.Store, id)
			if err != nil || actual != at {
				return actual, errors.Join(err, &eventstore.Conflict{Actual: actual})
			}
			for _, e := range events {
				at.N++
				ack, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: fmt.Sprintf("accounts.event.%s.%d.%s", id, at.N, e.Type), Header: nats.Header{"Event-Id": {e.ID}}})
				if err != nil {
					return at, err
				}
				at.Seq = ack.Sequence
			}
			return at, nil
		},
		"a retry at the new version": func(s client, ctx context.Context, id string, at eventstore.Version, events ...eventstore.Event) (eventstore.Version, error) {
			for {
				try, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				v, err := s.Append(try, id, at, events...)
				cancel()
				if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
					return v, err
				}
				if _, at, err = read(ctx, s.Store, id); err != nil { // the bug: another version
					return v, err
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed < 60; seed++ {
				if err := simulate(t, seed, mutant); err != nil {
					first, _, _ := strings.Cut(err.Error(), "\n")
					t.Logf("caught: seed %d: %s", seed, first)
					return
				}
			}
			t.Fatal("not caught")
		})
	}
}

func verify(ctx context.Context, store *eventstore.Store, done []acked, received map[string][]eventstore.Event) error {
	var errs []error
	for _, entity := range []string{"account-0", "account-1"} {
		all, _, err := read(ctx, store, entity) // which fails if the versions have a gap
		errs = append(errs, err)
		seen := map[string]uint64{}
		for _, e := range all {
			if seen[e.ID] > 0 {
				errs = append(errs, fmt.Errorf("%s is stored twice, as %d and %d", e.ID, seen[e.ID], e.Version.N))
			}
			seen[e.ID] = e.Version.N
		}
		for _, a := range done {
			for i, id := range a.ids {
				if a.entity == entity && seen[id] != a.from+uint64(i) {
					errs = append(errs, fmt.Errorf("%s was acknowledged as %d and is %d", id, a.from+uint64(i), seen[id]))
				}
			}
		}
		if fmt.Sprint(all) != fmt.Sprint(received[entity]) {
			errs = append(errs, fmt.Errorf("%s: %d events stored, %d received", entity, len(all), len(received[entity])))
		}
	}
	return errors.Join(errs...)
}
