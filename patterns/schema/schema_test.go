package schema_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/schema"
)

func TestFormatOf(t *testing.T) {
	_, two, _ := visits(t)
	h, _, err := two.Encode(VisitV2{"p-1", "Ann Lee", 20, "7"})
	require.NoError(t, err)
	require.Equal(t, nats.Header{"Content-Type": {"application/json"}, "Schema-Name": {"visit"}, "Schema-Version": {"2"}, "Schema-Since": {"1"}}, h)
	f, err := schema.FormatOf(h)
	require.NoError(t, err)
	require.Equal(t, two.Format(), f)
	for _, name := range []string{"Content-Type", schema.HeaderName, schema.HeaderVersion, schema.HeaderSince} {
		broken := nats.Header{}
		for k, v := range h {
			if k != name {
				broken[k] = v
			}
		}
		_, err := schema.FormatOf(broken)
		require.ErrorIs(t, err, schema.ErrFormat, "without %s", name)
	}
}
