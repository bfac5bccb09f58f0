package schema_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/schema"
)

type list[T any] struct {
	Items []T `json:"items"`
}

func textLine() any {
	type line struct {
		V string `json:"v"`
	}
	return line{"x"}
}

func priceLine() any {
	type line struct {
		V int `json:"v"`
	}
	return line{7}
}

// What a value says is what is read, whatever its type is called.
func TestRoundTrip(t *testing.T) {
	type line struct {
		V bool `json:"v"`
	}
	there := func(v any, read func() (any, error)) {
		got, err := read()
		require.NoError(t, err)
		require.Equal(t, v, got)
	}
	generic := list[list[line]]{[]list[line]{{[]line{{true}}}}}
	there(generic, func() (any, error) {
		typ := must(schema.Define[list[list[line]]]("list"))
		h, data, err := typ.Encode(generic)
		require.NoError(t, err)
		return typ.Decode(h, data)
	})
	type bag struct {
		V map[string]any `json:"v"`
	}
	there(bag{map[string]any{"n": json.Number("9007199254740993")}}, func() (any, error) {
		typ := must(schema.Define[bag]("any"))
		h, data, err := typ.Encode(bag{map[string]any{"n": int64(9007199254740993)}}) // a float64 would be of 9007199254740992
		require.NoError(t, err)
		return typ.Decode(h, data)
	})
	text, price := textLine(), priceLine() // two types called line
	both := reflect.StructOf([]reflect.StructField{{Name: "Text", Type: reflect.TypeOf(text)}, {Name: "Price", Type: reflect.TypeOf(price)}})
	v := reflect.New(both).Elem()
	v.Field(0).Set(reflect.ValueOf(text))
	v.Field(1).Set(reflect.ValueOf(price))
	require.NoError(t, must(schema.Generate(both)).Strictly(must(json.Marshal(v.Interface()))))
}
