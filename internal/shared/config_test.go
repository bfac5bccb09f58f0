package shared

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSetDefault(t *testing.T) {
	for name, c := range map[string]struct {
		have, want int
		text       string
	}{
		"zero becomes the default": {0, 5, ""},
		"the least value":          {2, 2, ""},
		"the greatest value":       {9, 9, ""},
		"below the least":          {1, 1, "Size is 1; use at least 2"},
		"above the greatest":       {10, 10, "Size is 10; use at most 9"},
	} {
		t.Run(name, func(t *testing.T) {
			v := c.have
			err := setDefault("Size", &v, 5, 2, 9)
			require.Equal(t, c.want, v)
			if c.text == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrConfig)
			require.ErrorContains(t, err, c.text)
		})
	}
}

func TestCheckID(t *testing.T) {
	for _, id := range []string{"a", "Z9_-", strings.Repeat("x", 64)} {
		require.NoError(t, checkID(id))
	}
	for _, id := range []string{"", "a.b", "*", ">", "a b", "a\x00b", "é", "aéa", strings.Repeat("x", 65)} {
		require.ErrorIs(t, checkID(id), ErrID, "%.20q", id)
	}
}
