package requestreply_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

// Clients of the micro protocol discover the service and understand its errors.
func TestMicro(t *testing.T) {
	s := natstest.Start(t)
	defer respond(t, s.Connect("responder"), requestreply.Config{Version: "1.2.3", Description: "quotes prices"},
		requestreply.Handle("prices.quote", prices), requestreply.Handle("prices.list", prices).Each())()
	nc := s.Connect("cli")
	msg, err := nc.Request("$SRV.INFO.prices", nil, time.Second)
	require.NoError(t, err)
	var info micro.Info
	require.NoError(t, json.Unmarshal(msg.Data, &info))
	require.Equal(t, "1.2.3", info.Version)
	require.Equal(t, "quotes prices", info.Description)
	require.Len(t, info.Endpoints, 2)

	for _, sku := range []string{"apple", "unknown", "broken"} {
		msg, err = nc.Request("prices.quote", fmt.Appendf(nil, `{"sku":%q}`, sku), time.Second)
		require.NoError(t, err)
		require.Equal(t, map[string]string{"apple": "", "unknown": "404", "broken": "500"}[sku], msg.Header.Get(micro.ErrorCodeHeader))
	}
	msg, err = nc.Request("prices.quote", []byte("{"), time.Second)
	require.NoError(t, err)
	require.Equal(t, "400", msg.Header.Get(micro.ErrorCodeHeader))
	_, err = nc.Request("prices.quote", []byte(`{"sku":"broken"}`), time.Second) // the last
	require.NoError(t, err)

	natstest.Eventually(t, 5*time.Second, func(context.Context) error {
		msg, err := nc.Request("$SRV.STATS.prices", nil, time.Second)
		if err != nil {
			return err
		}
		var all micro.Stats
		if err := json.Unmarshal(msg.Data, &all); err != nil {
			return err
		}
		i := slices.IndexFunc(all.Endpoints, func(e *micro.EndpointStats) bool { return e.Subject == "prices.quote" })
		var is requestreply.Stats
		if err := json.Unmarshal(all.Endpoints[i].Data, &is); err != nil {
			return err
		}
		if is.Requests != 5 || is.Errors != 4 || is.AverageTime == 0 || is.LastError != "500: internal error" {
			return fmt.Errorf("stats %+v", is)
		}
		return nil
	})
}

// STATS can be requested while the service starts. The race detector finds what is
// wrong.
func TestStatsAtOnce(t *testing.T) {
	s := natstest.Start(t)
	requester, ctx := s.Connect("requester"), t.Context()
	over := make(chan struct{})
	requested := make(chan struct{})
	go func() {
		defer close(requested)
		for {
			select {
			case <-over:
				return
			default:
				_, _ = requester.RequestWithContext(ctx, "$SRV.STATS.prices", nil) // most of the time there is no responder yet
			}
		}
	}()
	var many []requestreply.Endpoint
	for i := range 100 {
		many = append(many, requestreply.Handle("prices.e"+strings.Repeat("x", i%60)+string(rune('a'+i%26)), prices))
	}
	for range 5 {
		respond(t, s.Connect("responder"), requestreply.Config{}, many...)()
	}
	close(over)
	<-requested
}
