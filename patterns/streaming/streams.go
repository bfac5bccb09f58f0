package streaming

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Streams returns what a flow is made of: FEED_<flow> keeps the events, and
// RESULTS_<flow> the results, with the state from which a Processor goes on. They
// share a stream because only within one stream are messages stored all or none.
func Streams(flow string, cfg Config) (feed, results jetstream.StreamConfig, err error) {
	if cfg, err = cfg.normal(); err == nil {
		err = checkID(flow)
	}
	if err != nil {
		return feed, results, err
	}
	feed = jetstream.StreamConfig{
		Name: "FEED_" + flow, Subjects: []string{"feed." + flow + ".*"}, MaxAge: cfg.Keep, Duplicates: min(2*time.Minute, cfg.Keep),
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}
	results = jetstream.StreamConfig{
		Name:     "RESULTS_" + flow,
		Subjects: []string{"results." + flow + ".*", "refused." + flow + ".*", "state." + flow + ".>"}, MaxAge: cfg.Keep,
		AllowAtomicPublish: true, AllowRollup: true, AllowMsgTTL: true, // state is committed with results, replaced, and never too old
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}
	return feed, results, nil
}

func setup(ctx context.Context, js jetstream.JetStream, flow string, cfg Config) (feed, results jetstream.Stream, err error) {
	f, r, err := Streams(flow, cfg)
	if err != nil {
		return nil, nil, err
	}
	feed, err = ensure(ctx, streamOf(js, f.Name), f, cfg.Bind)
	if err != nil {
		return nil, nil, err
	}
	results, err = ensure(ctx, streamOf(js, r.Name), r, cfg.Bind)
	return feed, results, err
}

// Provision creates the streams of a flow, or updates them to cfg. Nothing else
// here changes what exists.
func Provision(ctx context.Context, js jetstream.JetStream, flow string, cfg Config) error {
	feed, results, err := Streams(flow, cfg)
	if err != nil {
		return err
	}
	for _, s := range []jetstream.StreamConfig{feed, results} {
		if _, err = callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.CreateOrUpdateStream(ctx, s) }); err != nil {
			return fmt.Errorf("streaming: provision %s: %w", s.Name, err)
		}
	}
	return nil
}

// follow calls each for every message of a stream that cons selects, in order and
// once, until ctx ends or there is nothing left to read from. It is what nats.go
// calls an ordered consumer, but for that it can be stopped while NATS is away, and
// does not go on looking for a stream that is gone for good.
func follow(ctx context.Context, js jetstream.JetStream, log *slog.Logger, stream string, cons jetstream.ConsumerConfig, each func(jetstream.Msg)) error {
	cons.AckPolicy, cons.MemoryStorage, cons.Replicas, cons.InactiveThreshold = jetstream.AckNonePolicy, true, 1, 30*time.Second
	for ctx.Err() == nil {
		c, err := callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) { return js.CreateConsumer(ctx, stream, cons) })
		var it jetstream.MessagesContext
		if err == nil {
			it, err = c.Messages(jetstream.PullMaxMessages(2000), jetstream.PullExpiry(4*time.Second), jetstream.PullHeartbeat(time.Second))
		}
		for want := uint64(1); err == nil; want++ {
			var msg jetstream.Msg
			var meta *jetstream.MsgMetadata
			if msg, err = it.Next(jetstream.NextContext(ctx)); err == nil {
				meta, err = msg.Metadata()
			}
			if err != nil || meta.Sequence.Consumer != want {
				break // silence, or a gap: what was on its way when a line was cut
			}
			if each(msg); cons.DeliverPolicy == jetstream.DeliverByStartSequencePolicy {
				cons.OptStartSeq = meta.Sequence.Stream + 1
			}
		}
		if it != nil {
			it.Stop()
		}
		switch {
		case ctx.Err() != nil:
		case final(err):
			return fmt.Errorf("read %s: %w", stream, err)
		default:
			log.Warn("streaming: reading is interrupted", "stream", stream, "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}

// final reports whether err will not pass by waiting.
func final(err error) bool {
	return errors.Is(err, ErrReplaced) || errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, jetstream.ErrConnectionClosed)
}
