package eventstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

// Load retries if a part of a reply is lost, in the middle or at its end: the history has
// no gap and is complete.
func TestIncompleteReply(t *testing.T) {
	for name, lost := range map[string]int{"the first event": 0, "an event in the middle": 2, "the last event": 4} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				proxy := s.Connect("proxy")
				requests := 0
				_, err := proxy.Subscribe("api.>", func(m *nats.Msg) {
					replies, err := proxy.SubscribeSync(proxy.NewInbox())
					if err != nil {
						panic(err)
					}
					defer replies.Unsubscribe()
					direct := strings.Contains(m.Subject, "DIRECT")
					if direct {
						requests++
					}
					err = proxy.PublishMsg(&nats.Msg{Subject: "$JS.API." + strings.TrimPrefix(m.Subject, "api."), Reply: replies.Subject, Data: m.Data})
					for n := 0; err == nil; n++ {
						var reply *nats.Msg
						if reply, err = replies.NextMsg(time.Second); err != nil {
							return
						}
						if !direct || requests > 1 || n != lost {
							_ = proxy.PublishMsg(&nats.Msg{Subject: m.Reply, Header: reply.Header, Data: reply.Data})
						}
						if !direct || reply.Header.Get("Status") != "" {
							return
						}
					}
				})
				require.NoError(t, err)
				require.NoError(t, proxy.Flush())
				js, err := jetstream.NewWithAPIPrefix(s.Connect("reader"), "api")
				require.NoError(t, err)
				store := open(t, js)
				_, err = store.Append(t.Context(), "ann", eventstore.Version{}, events(t, "a", "b", "c", "d", "e")...)
				require.NoError(t, err)
				got, _ := history(t, t.Context(), store, "ann", eventstore.Version{})
				require.Equal(t, []string{"a@1", "b@2", "c@3", "d@4", "e@5"}, got)
				require.Equal(t, 2, requests)
			})
		})
	}
}
