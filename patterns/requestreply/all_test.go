package requestreply_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

func TestAll(t *testing.T) {
	for _, tc := range []struct {
		name  string
		takes []time.Duration // of each responder
		many  requestreply.Many
		want  string
		took  time.Duration
	}{
		{"all answer", []time.Duration{100, 200, 300}, requestreply.Many{}, "0 1 2", 600},
		{"in no order", []time.Duration{300, 200, 100}, requestreply.Many{}, "2 1 0", 600},
		{"the first two are enough", []time.Duration{100, 200, 300}, requestreply.Many{Max: 2}, "0 1", 200},
		{"one who stalls is not waited for", []time.Duration{100, 200, 2000}, requestreply.Many{Stall: 500 * time.Millisecond}, "0 1", 700},
		{"the deadline ends it", []time.Duration{100, 2000}, requestreply.Many{Stall: time.Minute}, "0", 3000},
		{"nobody is there", nil, requestreply.Many{}, "requestreply: nobody answers there: prices.quote", 0},
		{"a refusal is an answer", []time.Duration{-1, 200}, requestreply.Many{}, "404: not here 1", 500},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				for i, takes := range tc.takes {
					defer respond(t, s.Connect(fmt.Sprint(i)), requestreply.Config{},
						requestreply.Handle("prices.quote", func(context.Context, quote) (price, error) {
							if takes < 0 {
								return price{}, &requestreply.Error{Code: "404", Text: "not here"}
							}
							time.Sleep(takes * time.Millisecond)
							return price{i}, nil
						}).Each())()
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				if tc.name == "the deadline ends it" {
					tc.takes[1] = time.Hour
				}
				start := time.Now()
				var got []string
				for p, err := range requestreply.All[quote, price](ctx, s.Connect("asker"), "prices.quote", quote{}, tc.many) {
					if err != nil {
						got = append(got, err.Error())
					} else {
						got = append(got, fmt.Sprint(p.Cents))
					}
				}
				if tc.name == "the deadline ends it" {
					require.Equal(t, []string{"0", "1"}, got, "the second came within it")
				} else {
					require.Equal(t, tc.want, strings.Join(got, " "))
				}
				require.Equal(t, tc.took*time.Millisecond, time.Since(start))
			})
		})
	}
}

// Clients that know only the micro protocol find the service, and are refused as
// they expect.
func TestMicro(t *testing.T) {
	s := natstest.Start(t)
	defer respond(t, s.Connect("responder"), requestreply.Config{Version: "1.2.3", Description: "tells prices"},
		requestreply.Handle("prices.quote", prices), requestreply.Handle("prices.list", prices).Each())()
	nc := s.Connect("cli")
	msg, err := nc.Request("$SRV.INFO.prices", nil, time.Second)
	require.NoError(t, err)
	var info micro.Info
	require.NoError(t, json.Unmarshal(msg.Data, &info))
	require.Equal(t, "1.2.3", info.Version)
	require.Equal(t, "tells prices", info.Description)
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

// Whatever happens to wires and server, an answer is to the question asked, and an
// error comes by the deadline. The seed of a history that fails is printed.
func TestFaults(t *testing.T) {
	for seed := range uint64(40) {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			chance := rand.New(rand.NewPCG(seed, 0))
			end := respond(t, s.Connect("responder"), requestreply.Config{}, requestreply.Handle("prices.quote", prices))
			defer end()
			nc, nemesis := s.Connect("asker"), make(chan struct{})
			go func() {
				defer close(nemesis)
				for range 5 {
					time.Sleep(time.Duration(chance.IntN(1500)) * time.Millisecond)
					who := []string{"asker", "responder"}[chance.IntN(2)]
					switch chance.IntN(3) {
					case 0:
						s.Link(who).Cut()
					case 1:
						s.Link(who).Delay(time.Duration(chance.IntN(900)) * time.Millisecond)
					case 2:
						s.Stop()
						time.Sleep(500 * time.Millisecond)
						assert.NoError(t, s.Start())
					}
				}
			}()
			answered := 0
			for n := range 40 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				start := time.Now()
				got, err := callAPI(ctx, nc, strings.Repeat("x", n))
				cancel()
				require.LessOrEqual(t, time.Since(start), time.Second, "seed %d", seed)
				if err == nil {
					require.Equal(t, n, got.Cents, "seed %d", seed)
					answered++
				}
				time.Sleep(200 * time.Millisecond)
			}
			<-nemesis
			require.NotZero(t, answered, "seed %d", seed)
		})
	}
}
