package shared

import (
	"context"
	"errors"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// consume calls handle for each message of cons until ctx ends, and then naks those
// that were prefetched. It calls fail if cons cannot deliver any more. wait returns
// after the end of ctx and of the last call of handle.
func consume(ctx context.Context, nc *nats.Conn, cons jetstream.Consumer, log *slog.Logger, fail func(error), handle func(jetstream.Msg),
	opts ...jetstream.PullConsumeOpt) (wait func(), err error) {
	c, err := cons.Consume(func(msg jetstream.Msg) {
		if ctx.Err() != nil {
			warnIf(log, "nak", msg, msg.Nak()) // without a nak it is redelivered only after AckWait
			return
		}
		handle(msg)
	}, append(opts, jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		log.Warn("shared: the consumer is interrupted", "err", err)
		if !errors.Is(err, jetstream.ErrBadRequest) { // the server refuses every pull request
			err = checkConsumer(ctx, cons, err)
		}
		if err != nil {
			fail(err)
		}
	}))...)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() {
		if nc.IsConnected() {
			c.Drain()
			return
		}
		c.Stop() // Drain would wait for the server
	})
	return func() { <-c.Closed() }, nil
}
