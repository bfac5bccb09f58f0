package eventstore

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Feed says which events to be told of. The zero Feed is all, from the first on, live.
type Feed struct {
	Durable string        // name under which the server remembers what is done; live, and nothing remembered, if empty
	After   uint64        // Version.Seq of the last event not wanted; for a new durable only
	New     bool          // instead of After: only what is appended from now on
	Entity  string        // only this one; all if empty
	Types   []string      // only these; all if empty
	AckWait time.Duration // after which an event that a lost process had in hand comes again; 30s if zero
	Retry   time.Duration // pause after a Handler's first error, doubled up to 1m; 1s if zero
	Grace   time.Duration // what a Handler at work gets when ctx ends; 10s if zero
}

func (f Feed) normal() (Feed, error) {
	f.AckWait = cmp.Or(f.AckWait, 30*time.Second)
	f.Retry = cmp.Or(f.Retry, time.Second)
	f.Grace = cmp.Or(f.Grace, 10*time.Second)
	switch {
	case f.AckWait < 100*time.Millisecond:
		return f, fmt.Errorf("%w: AckWait is %v; use 100ms or more", ErrConfig, f.AckWait)
	case f.Retry < 0:
		return f, fmt.Errorf("%w: Retry is %v; use a positive time", ErrConfig, f.Retry)
	case f.Grace < 0:
		return f, fmt.Errorf("%w: Grace is %v; use a positive time", ErrConfig, f.Grace)
	case f.New && f.After > 0:
		return f, fmt.Errorf("%w: New and After are both set; use one", ErrConfig)
	}
	return f, nil
}

// Subscription tells a Handler of events as they are stored.
type Subscription struct {
	store    *Store
	feed     Feed
	consumer jetstream.Consumer
	ran      atomic.Bool
}

// Subscribe returns once the server knows what is wanted: no event appended from
// then on is missed. The context bounds this call only.
func (s *Store) Subscribe(ctx context.Context, feed Feed) (*Subscription, error) {
	feed, err := feed.normal()
	if err != nil {
		return nil, err
	}
	filters, err := s.filters(feed)
	if err != nil {
		return nil, err
	}
	start := feed.After + 1
	if feed.New {
		info, err := callAPI(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) { return s.stream.Info(ctx) })
		if err != nil {
			return nil, edge(err, "subscribe")
		}
		start = info.State.LastSeq + 1
	}
	var c jetstream.Consumer
	if feed.Durable == "" {
		c, err = callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
			return s.stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
				FilterSubjects: filters, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: start,
			})
		})
	} else {
		want := jetstream.ConsumerConfig{
			Durable: feed.Durable, FilterSubjects: filters, AckPolicy: jetstream.AckExplicitPolicy, AckWait: feed.AckWait,
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: start,
			MaxAckPending: 1, // nothing overtakes an event that has to be tried again
			Metadata:      s.cfg.Metadata,
		}
		c, err = ensure(ctx, consumerOf(s.stream, want.Durable), want, s.cfg.Bind)
	}
	if err != nil {
		return nil, edge(err, "subscribe")
	}
	return &Subscription{store: s, feed: feed, consumer: c}, nil
}

func (s *Store) filters(f Feed) ([]string, error) {
	entity := cmp.Or(f.Entity, "*")
	for _, token := range append([]string{cmp.Or(f.Entity, "all"), cmp.Or(f.Durable, "none")}, f.Types...) {
		if err := checkID(token); err != nil {
			return nil, err
		}
	}
	if len(f.Types) == 0 {
		return []string{s.event(entity, "*", "*")}, nil
	}
	var filters []string
	for _, t := range f.Types {
		filters = append(filters, s.event(entity, "*", t))
	}
	return filters, nil
}
