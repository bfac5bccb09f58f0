package schedule

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// This file is the same in every pattern that has durable consumers.

func ensureConsumer(ctx context.Context, s jetstream.Stream, want jetstream.ConsumerConfig, bind bool,
	needs func(have jetstream.ConsumerConfig) []need) (jetstream.Consumer, error) {
	find := func(ctx context.Context) (jetstream.Consumer, error) { return s.Consumer(ctx, want.Durable) }
	c, err := ask(ctx, find)
	if errors.Is(err, jetstream.ErrConsumerNotFound) && !bind {
		c, err = ask(ctx, func(ctx context.Context) (jetstream.Consumer, error) { return s.CreateConsumer(ctx, want) })
		if errors.Is(err, jetstream.ErrConsumerExists) {
			c, err = ask(ctx, find)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", want.Durable, err)
	}
	return c, compare("consumer "+want.Durable, needs(c.CachedInfo().Config))
}
