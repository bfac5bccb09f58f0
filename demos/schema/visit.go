package main

import (
	"context"

	"github.com/natspatterns/catalog/patterns/schema"
)

// The form of a visit, as it was and as it is.
type (
	visit1 struct {
		Patient string `json:"patient"`
		Name    string `json:"name"`
		Minutes int    `json:"minutes"`
	}
	visit2 struct {
		Patient string `json:"patient"`
		Name    string `json:"name"`
		Minutes int    `json:"minutes"`
		Room    string `json:"room,omitempty"`
	}
	visit3 struct {
		Patient string `json:"patient"`
		Sealed  []byte `json:"sealed"` // the name, under a key of the patient's own
		Minutes int    `json:"minutes"`
		Room    string `json:"room,omitempty"`
	}
)

func oneToTwo(v visit1) (visit2, error) {
	return visit2{v.Patient, v.Name, v.Minutes, "unknown"}, nil
}

// form3 is the type as of version 3, which needs the vault to bring up what is older.
func form3(ctx context.Context, v *schema.Vault) (*schema.Type[visit3], error) {
	return schema.Define[visit3]("visit", schema.Extend(oneToTwo), schema.Replace(func(old visit2) (visit3, error) {
		sealed, err := v.Seal(ctx, old.Patient, []byte(old.Name))
		return visit3{old.Patient, sealed, old.Minutes, old.Room}, err
	}))
}
