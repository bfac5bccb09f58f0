package orderstatus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/demos/ordering/order"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

func TestID(t *testing.T) {
	n := 0
	s := &service{cfg: Config{NewID: func() string { n++; return fmt.Sprint("order-", n) }}}
	for _, key := range []string{"a", strings.Repeat("k", maxKey), "with spaces; and more"} {
		one, err := s.id(key)
		require.NoError(t, err)
		two, err := s.id(key)
		require.NoError(t, err)
		require.Equal(t, one, two, "the same key names the same order")
		other, err := s.id(key[1:] + "?")
		require.NoError(t, err)
		require.NotEqual(t, one, other)
		require.NoError(t, checkID(one))
	}
	one, err := s.id("")
	require.NoError(t, err)
	require.Equal(t, "order-1", one)
	for _, key := range []string{"\x00", "é", "\t", strings.Repeat("k", maxKey+1)} {
		_, err := s.id(key)
		require.Error(t, err, "%.20q", key)
	}
}

func TestModel(t *testing.T) {
	m := newModel()
	take := func(id string, seq uint64, s order.Status) {
		e, err := eventstore.NewEvent("", string(s), order.Fact{Order: id, Status: s})
		require.NoError(t, err)
		e.Entity, e.Version.Seq = id, seq
		require.NoError(t, m.take(t.Context(), e))
	}
	require.True(t, m.reached(0), "nothing has happened yet")
	take("o-1", 1, order.Placed)
	take("o-2", 2, order.Placed)
	take("o-1", 3, order.Paid)
	take("o-3", 4, order.Placed)
	require.True(t, m.reached(4))
	require.False(t, m.reached(5))
	o, ok := m.get("o-1")
	require.True(t, ok)
	require.Equal(t, order.Paid, o.Status)
	_, ok = m.get("o-4")
	require.False(t, ok)
	for _, tc := range []struct {
		after string
		limit int
		want  []string
		more  bool
		ok    bool
	}{
		{"", 2, []string{"o-1", "o-2"}, true, true},
		{"o-2", 2, []string{"o-3"}, false, true},
		{"o-3", 2, nil, false, true},
		{"", 3, []string{"o-1", "o-2", "o-3"}, false, true},
		{"o-4", 2, nil, false, false},
	} {
		page, more, ok := m.list(tc.after, tc.limit)
		var ids []string
		for _, o := range page {
			ids = append(ids, o.ID)
		}
		require.Equal(t, tc.want, ids, tc.after)
		require.Equal(t, tc.more, more, tc.after)
		require.Equal(t, tc.ok, ok, tc.after)
	}
}
