/* registry_test.c -- models are found by their whole name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "freshet/model.h"

static void a_model_is_found_by_its_whole_name(void **state)
{
    (void)state;
    assert_ptr_equal(registry_find("sar", 3), &sar_ops);
    assert_ptr_equal(registry_find("sarcasm", 3), &sar_ops); /* the length decides */
    assert_null(registry_find("sa", 2));
    assert_null(registry_find("sarcasm", 7));
    assert_null(registry_find("", 0));
}

static void walking_names_every_model_once_and_ends(void **state)
{
    size_t index = 0;

    (void)state;
    for (const struct model_ops *ops; (ops = registry_at(index)); index++)
        assert_ptr_equal(registry_find(ops->name, strlen(ops->name)), ops);
    assert_true(index >= 1);
    assert_null(registry_at(index + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_found_by_its_whole_name),
        cmocka_unit_test(walking_names_every_model_once_and_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
