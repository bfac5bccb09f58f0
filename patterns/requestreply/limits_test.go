package requestreply_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

// A message that the server would refuse fails at once.
func TestLongInput(t *testing.T) {
	s := natstest.Start(t)
	nc := s.Connect("requester")
	long := strings.TrimSuffix(strings.Repeat(strings.Repeat("x", 63)+".", 80), ".")
	_, err := requestreply.Request[quote, price](t.Context(), nc, long, quote{})
	require.ErrorIs(t, err, requestreply.ErrID)
	_, err = requestreply.NewResponder(t.Context(), nc, "prices", requestreply.Config{}, requestreply.Handle(long, prices))
	require.ErrorIs(t, err, requestreply.ErrID)
	require.True(t, nc.IsConnected())

	defer respond(t, s.Connect("responder"), requestreply.Config{},
		requestreply.Handle("long", func(context.Context, quote) (price, error) {
			return price{}, &requestreply.Error{Code: "400", Text: strings.Repeat("x", 2<<20)}
		}),
		requestreply.Handle("empty", func(context.Context, quote) (price, error) { return price{}, &requestreply.Error{} }))()
	var refused *requestreply.Error
	_, err = requestreply.Request[quote, price](t.Context(), nc, "long", quote{})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "400", refused.Code)
	require.Len(t, refused.Text, 4096)
	_, err = requestreply.Request[quote, price](t.Context(), nc, "empty", quote{})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "500", refused.Code)
}
