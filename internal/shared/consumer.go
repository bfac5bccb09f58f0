package shared

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// ensureConsumer finds the durable consumer, or creates it unless bind is set. It
// refuses one that is weaker than want, or has another value in a field that exact
// names.
func ensureConsumer(ctx context.Context, s jetstream.Stream, want jetstream.ConsumerConfig, bind bool, exact ...string) (jetstream.Consumer, error) {
	c, err := findOrCreate(ctx, bind, jetstream.ErrConsumerNotFound, jetstream.ErrConsumerExists,
		func(ctx context.Context) (jetstream.Consumer, error) { return s.Consumer(ctx, want.Durable) },
		func(ctx context.Context) (jetstream.Consumer, error) { return s.CreateConsumer(ctx, want) })
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", want.Durable, err)
	}
	have := c.CachedInfo().Config
	return c, compare("consumer "+want.Durable, have, setFields(strengthenConsumer(have, want), want, exact))
}

// provisionConsumer creates the consumer, or changes what ensureConsumer would refuse.
func provisionConsumer(ctx context.Context, s jetstream.Stream, want jetstream.ConsumerConfig, exact ...string) (jetstream.Consumer, error) {
	c, err := ensureConsumer(ctx, s, want, false, exact...)
	if err != nil && !errors.Is(err, ErrMismatch) {
		return nil, err
	}
	needed := setFields(strengthenConsumer(c.CachedInfo().Config, want), want, exact)
	c, err = callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) { return s.UpdateConsumer(ctx, needed) })
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", want.Durable, err)
	}
	return c, nil
}

// strengthenConsumer returns have with each setting replaced that is weaker than
// want: one by which messages are dropped, overtake others, or are redelivered early.
func strengthenConsumer(have, want jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	c := have
	c.DeliverPolicy, c.OptStartSeq, c.OptStartTime = want.DeliverPolicy, want.OptStartSeq, want.OptStartTime
	c.AckPolicy, c.ReplayPolicy, c.HeadersOnly, c.BackOff = want.AckPolicy, want.ReplayPolicy, want.HeadersOnly, want.BackOff
	c.FilterSubject, c.FilterSubjects, c.MemoryStorage = want.FilterSubject, want.FilterSubjects, want.MemoryStorage
	c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = want.PriorityPolicy, want.PriorityGroups, want.PinnedTTL
	c.AckWait, c.MaxDeliver = max(have.AckWait, want.AckWait), larger(have.MaxDeliver, want.MaxDeliver)
	c.InactiveThreshold, c.Replicas = longer(have.InactiveThreshold, want.InactiveThreshold), max(have.Replicas, want.Replicas)
	switch {
	case want.MaxAckPending == 1: // keeps the order
		c.MaxAckPending = 1
	case want.MaxAckPending != 0: // 0 is the default of the server
		c.MaxAckPending = larger(have.MaxAckPending, want.MaxAckPending)
	}
	c.Metadata = mergeMetadata(have.Metadata, want.Metadata)
	return c
}
