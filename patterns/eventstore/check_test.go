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

// The check of TestFaults sees the bugs it is there for.
func TestFaultsTwins(t *testing.T) {
	for name, twin := range map[string]appender{
		"reading the version, comparing, writing": func(s client, ctx context.Context, id string, at eventstore.Version, events ...eventstore.Event) (eventstore.Version, error) {
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
		"a retry that is a new append": func(s client, ctx context.Context, id string, at eventstore.Version, events ...eventstore.Event) (eventstore.Version, error) {
			for {
				try, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				v, err := s.Append(try, id, at, events...)
				cancel()
				if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
					return v, err
				}
				if _, at, err = read(ctx, s.Store, id); err != nil { // "at" is where it is now
					return v, err
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed < 60; seed++ {
				if err := simulate(t, seed, twin); err != nil {
					first, _, _ := strings.Cut(err.Error(), "\n")
					t.Logf("caught: seed %d: %s", seed, first)
					return
				}
			}
			t.Fatal("not caught")
		})
	}
}

func read(ctx context.Context, s *eventstore.Store, id string) (all []eventstore.Event, v eventstore.Version, err error) {
	for e, err := range s.Load(ctx, id, eventstore.Version{}) {
		if err != nil {
			return nil, v, err
		}
		all, v = append(all, e), e.Version
	}
	return all, v, nil
}

func verify(ctx context.Context, store *eventstore.Store, done []acked, told map[string][]eventstore.Event) error {
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
		if fmt.Sprint(all) != fmt.Sprint(told[entity]) {
			errs = append(errs, fmt.Errorf("%s: %d events stored, %d told", entity, len(all), len(told[entity])))
		}
	}
	return errors.Join(errs...)
}
