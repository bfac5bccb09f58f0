package query_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/query"
)

const benchRows = 20_000

// BenchmarkRows compares a result with messages of the same size, without numbers,
// flow control and end.
func BenchmarkRows(b *testing.B) {
	srv := natstest.Listen(b)
	connect := func() *nats.Conn {
		nc, err := nats.Connect(srv.ClientURL())
		require.NoError(b, err)
		b.Cleanup(nc.Close)
		return nc
	}
	server, client := connect(), connect()
	s := &suite{nc: server}
	s.source, s.db = newSQLite(b)
	s.fill(b, benchRows, 10)
	_, err := query.NewReader(b.Context(), server, "shops", s.source, statements, query.Config{})
	require.NoError(b, err)
	_, err = server.Subscribe("plain", func(m *nats.Msg) {
		if err := plainReply(s, m); err != nil {
			b.Error(err)
		}
	})
	require.NoError(b, err)
	require.NoError(b, server.Flush())

	plain := func(b *testing.B) time.Duration {
		start := time.Now()
		sub, err := client.SubscribeSync(client.NewInbox())
		require.NoError(b, err)
		require.NoError(b, client.PublishRequest("plain", sub.Subject, nil))
		for n := 0; n < benchRows; {
			m, err := sub.NextMsg(10 * time.Second)
			require.NoError(b, err)
			var rows []sale
			require.NoError(b, json.Unmarshal(m.Data, &rows))
			n += len(rows)
		}
		require.NoError(b, sub.Unsubscribe())
		return time.Since(start)
	}
	ours := func(b *testing.B) time.Duration {
		start, n := time.Now(), 0
		for _, err := range query.Rows[sale](b.Context(), client, "shops", "sales", nil) {
			require.NoError(b, err)
			n++
		}
		require.Equal(b, benchRows, n)
		return time.Since(start)
	}
	ratio.Bar{Pattern: "query", Metric: "rows out of SQLite, beside messages without flow control", AtLeast: 0.6}.Compare(b, plain, ours)
}

// plainReply sends the same rows in messages of 64 KiB.
func plainReply(s *suite, m *nats.Msg) error {
	rows, err := s.db.Query("SELECT n, till FROM sales ORDER BY n")
	if err != nil {
		return err
	}
	var chunk bytes.Buffer
	for rows.Next() {
		var r sale
		if err := rows.Scan(&r.N, &r.Till); err != nil {
			return err
		}
		data, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if chunk.Len()+len(data) > 64<<10 {
			if err := m.Respond(append(chunk.Bytes(), ']')); err != nil {
				return err
			}
			chunk.Reset()
		}
		chunk.WriteByte("[,"[min(chunk.Len(), 1)])
		chunk.Write(data)
	}
	if err := m.Respond(append(chunk.Bytes(), ']')); err != nil {
		return err
	}
	return rows.Err()
}
