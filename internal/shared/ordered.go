package shared

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// readOrdered calls handle for each message of the stream that cfg selects, in stream
// order and once. It returns nil when ctx ends, and an error if the stream or the
// connection is gone. Unlike nats.go's ordered consumer, it can be stopped while it is
// disconnected, and it does not retry for ever on a deleted stream.
func readOrdered(ctx context.Context, js jetstream.JetStream, log *slog.Logger, stream string, cfg jetstream.ConsumerConfig,
	handle func(jetstream.Msg, *jetstream.MsgMetadata)) error {
	cfg.AckPolicy, cfg.MemoryStorage, cfg.Replicas, cfg.InactiveThreshold = jetstream.AckNonePolicy, true, 1, 30*time.Second
	for {
		cons, err := callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) { return js.CreateConsumer(ctx, stream, cfg) })
		if ctx.Err() == nil && isGone(err) {
			return fmt.Errorf("read stream %s: %w", stream, err)
		}
		if err == nil {
			err = readConsumer(ctx, js.Conn(), cons, &cfg, handle)
		}
		if ctx.Err() != nil {
			return nil
		}
		log.Warn("shared: reading is interrupted and continues with a new consumer", "stream", stream, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// readConsumer returns at the first gap, after a reconnect, and when no heartbeat
// arrives. It moves the start of cfg behind each message.
func readConsumer(ctx context.Context, nc *nats.Conn, cons jetstream.Consumer, cfg *jetstream.ConsumerConfig,
	handle func(jetstream.Msg, *jetstream.MsgMetadata)) error {
	reconnected := nc.StatusChanged(nats.CONNECTED)
	ctx, end := context.WithCancelCause(ctx)
	go func() { // until the end of the listener
		if _, ok := <-reconnected; ok {
			end(errors.New("the client reconnected")) // lost messages show only when a later one arrives
		}
	}()
	defer func() { nc.RemoveStatusListener(reconnected); end(nil) }()
	it, err := cons.Messages(jetstream.PullMaxMessages(2000), jetstream.PullExpiry(4*time.Second), jetstream.PullHeartbeat(time.Second))
	if err != nil {
		return err
	}
	defer it.Stop()
	for want := uint64(1); ; want++ {
		msg, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != want {
			return fmt.Errorf("message %d of the consumer arrived instead of %d", meta.Sequence.Consumer, want)
		}
		handle(msg, meta)
		if cfg.DeliverPolicy == jetstream.DeliverByStartSequencePolicy {
			cfg.OptStartSeq = meta.Sequence.Stream + 1
		}
	}
}
