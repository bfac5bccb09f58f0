package outbox_test

import (
	"context"
	"database/sql"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/outbox"
)

func TestBadInput(t *testing.T) {
	each(t, func(t *testing.T, s *natstest.Server, db *sql.DB) {
		ctx, nc := t.Context(), s.Connect("shop")
		js := must(jetstream.New(nc))
		for _, subject := range []string{"", "a b", "a.*", "a.>", "a..b", ".a", "a.", "a\x00", "a\r\nPUB b 0"} {
			tx, err := db.Begin()
			require.NoError(t, err)
			require.ErrorIs(t, outbox.Put(ctx, tx, "ann", &nats.Msg{Subject: subject}), outbox.ErrMessage, "%q", subject)
			require.NoError(t, tx.Rollback())
		}
		tx, err := db.Begin()
		require.NoError(t, err)
		require.ErrorIs(t, outbox.Put(ctx, tx, "ann", nil), outbox.ErrMessage)
		require.ErrorIs(t, outbox.Put(ctx, tx, "a\x00", nats.NewMsg("a")), outbox.ErrMessage)
		for _, m := range []*nats.Msg{nats.NewMsg("a\xff"), {Subject: "a", Header: nats.Header{"Place": {"Malm\xf6"}}}, {Subject: "a", Header: nats.Header{"\xff": {"x"}}}} {
			require.ErrorIs(t, outbox.Put(ctx, tx, "ann", m), outbox.ErrMessage, "it would not be published as it is")
		}
		_, err = outbox.Take(ctx, tx, "reader", "")
		require.ErrorIs(t, err, outbox.ErrMessage)
		_, err = outbox.Take(ctx, tx, "a.b", "id")
		require.ErrorIs(t, err, outbox.ErrID)
		require.NoError(t, tx.Rollback())
		require.ErrorIs(t, outbox.Put(ctx, tx, "ann", nats.NewMsg("a")), sql.ErrTxDone)
		require.ErrorIs(t, outbox.Notify(nc, "a.b"), outbox.ErrID)
		for field, cfg := range map[string]outbox.Config{"Poll": {Poll: -1}, "Batch": {Batch: -1}, "MaxAge": {MaxAge: -1}, "Duplicates": {Duplicates: time.Millisecond}} {
			_, err := outbox.NewRelay(ctx, db, nc, js, "shop", cfg)
			require.ErrorIs(t, err, outbox.ErrConfig)
			require.ErrorContains(t, err, field)
		}
		_, err = outbox.NewRelay(ctx, db, nc, js, "", outbox.Config{})
		require.ErrorIs(t, err, outbox.ErrID)
		r, err := outbox.NewRelay(ctx, db, nc, js, "shop", outbox.Config{})
		require.NoError(t, err)
		ended, cancel := context.WithCancel(ctx)
		cancel()
		require.NoError(t, r.Run(ended))
		require.ErrorIs(t, r.Run(ctx), outbox.ErrAlreadyRun)
		_, err = outbox.NewRelay(ended, db, nc, js, "shop", outbox.Config{})
		require.ErrorIs(t, err, context.Canceled)
		r, err = outbox.NewRelay(ctx, db, nc, js, "shop", outbox.Config{Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		nc.Close()
		require.ErrorIs(t, r.Run(ctx), nats.ErrConnectionClosed)
		require.ErrorIs(t, outbox.Notify(nc, "shop"), nats.ErrConnectionClosed)
		_, err = db.Exec(`DROP TABLE outbox`)
		require.NoError(t, err)
		_, err = outbox.NewRelay(ctx, db, s.Connect("other"), js, "shop", outbox.Config{})
		require.ErrorContains(t, err, "the table outbox is missing")
	})
}
